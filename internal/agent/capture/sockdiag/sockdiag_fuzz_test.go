package sockdiag

import "testing"

func FuzzAnswers(f *testing.F) {
	f.Add(make([]byte, answerSize))
	f.Add(append(make([]byte, answerSize), 8, 0, markKind, 0, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if s, ok := parse(answer); !ok && s != (Socket{}) {
			t.Errorf("%+v of an answer that is too short", s)
		}
	})
}
