package output

import (
	"bytes"
	"strings"
	"testing"
)

func TestWhatATerminalWouldActOnIsShown(t *testing.T) {
	for in, want := range map[string]string{
		"payments":                     "payments",
		"größe 値段":                     "größe 値段",
		"\x1b[31mred\x1b[0m":           `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\x07":             `\x1b]0;title\x07`,
		"\u009b31m":                    `\u009b31m`,
		"one\r\ntwo\tthree":            `one\x0d\x0atwo\x09three`,
		"evil\u202etxt.exe":            `evil\u202etxt.exe`,
		"zero\u200bwidth":              `zero\u200bwidth`,
		"broken \xff\xc3 end":          `broken \xff\xc3 end`,
		"del\x7f":                      `del\x7f`,
		"a line\u2028of its own, here": `a line\u2028of its own, here`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// Whatever the parts are in which text is written, it is the same text that comes out.
func TestAWriterPassesTextOnInParts(t *testing.T) {
	const in, want = "値\x1b[2J\u009b2J\nnext\tcell é\xc3", "値\\x1b[2J\\u009b2J\nnext\tcell é\\xc3"
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := []byte(in); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := w.Write(rest[:min(size, len(rest))]); err != nil || n != min(size, len(rest)) {
				t.Fatal(n, err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("in parts of %d bytes: %q, want %q", size, out.String(), want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s)
		if i := strings.IndexFunc(out, acts); i >= 0 {
			t.Errorf("%q is shown as %q", s, out)
		}
		if again := Text(out); again != out {
			t.Errorf("what is shown of %q changes when it is shown again: %q", s, again)
		}
	})
}
