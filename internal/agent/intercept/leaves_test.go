package intercept

import (
	"fmt"
	"testing"
)

// A pod that goes through many names has its own certificates forgotten, not those of others, however long ago these were used.
func TestAPodForgetsItsOwnCertificates(t *testing.T) {
	var s leaves
	s.init()
	name := func(pod string, n int) leafName { return leafName{fmt.Sprintf("%s%d.example", pod, n), "http/1.1"} }
	others := []string{"a", "b", "c"}
	first := map[leafName]*leaf{}
	for _, pod := range others {
		for n := range 50 {
			first[name(pod, n)] = s.find(pod, name(pod, n))
		}
	}
	for n := range 3 * maxLeaves {
		s.find("walker", name("walker", n))
		if kept := s.recent.Len(); kept > maxLeaves || kept != len(s.byName) {
			t.Fatalf("%d are kept, %d by name", kept, len(s.byName))
		}
	}
	for n, l := range first {
		if s.find("walker", n) != l {
			t.Errorf("that for %s was forgotten", n.host)
		}
	}
	if last := name("walker", 3*maxLeaves-1); s.byName[last] == nil || s.byName[name("walker", 0)] != nil {
		t.Error("the walker's are not forgotten by when they were used")
	}
}

// Pods that have as many as others lose their own for a new one, and one that has none left is not kept.
func TestPodsWithAsManyCertificates(t *testing.T) {
	var s leaves
	s.init()
	for n := range maxLeaves {
		s.find(fmt.Sprint("pod", n), leafName{fmt.Sprint(n), "h2"})
	}
	s.find("pod7", leafName{"new", "h2"})
	if s.byName[leafName{"7", "h2"}] != nil || s.byName[leafName{"0", "h2"}] == nil {
		t.Error("another's was forgotten")
	}
	s.find("new", leafName{"newer", "h2"})
	if len(s.owned) != maxLeaves || s.recent.Len() != maxLeaves {
		t.Errorf("%d pods own %d", len(s.owned), s.recent.Len())
	}
}
