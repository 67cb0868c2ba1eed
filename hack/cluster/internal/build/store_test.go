package build

import (
	"os"
	"path/filepath"
	"testing"
)

// write makes a file with the folders above it.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsBuiltOtherwiseIsBuiltAgain: another version, other flags, or another main package of the module's own.
func TestWhatIsBuiltOtherwiseIsBuiltAgain(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	m := module{dir: t.TempDir()}
	seen := map[string]bool{}
	for _, tc := range []struct{ pins, source, flags string }{
		{"a", "a", "a"}, {"b", "a", "a"}, {"a", "b", "a"}, {"a", "a", "b"}, {"a", "a", "a"},
	} {
		write(t, filepath.Join(m.dir, "go.mod"), tc.pins)
		write(t, filepath.Join(m.dir, "kubernetes", "main.go"), tc.source)
		s, err := m.store("kubernetes", "v1", recipe{ldflags: tc.flags})
		if err != nil {
			t.Fatal(err)
		}
		seen[s.hash] = true
	}
	if len(seen) != 4 {
		t.Errorf("5 recipes, of which the last is the first, have %d hashes", len(seen))
	}
}

// TestAProgramHasSeveralNames, also where a program of one of these names was there before.
func TestAProgramHasSeveralNames(t *testing.T) {
	s := &store{dir: t.TempDir()}
	write(t, s.program("kubernetes"), "new")
	write(t, s.program("etcd"), "old")
	for range 2 { // the second time there is nothing to do
		if err := s.call("kubernetes", []string{"etcd", "kubectl"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"etcd", "kubectl"} {
		if text, err := os.ReadFile(s.program(name)); string(text) != "new" {
			t.Errorf("%s is %q (%v)", name, text, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "new-*")); len(left) > 0 {
		t.Errorf("left behind are %v", left)
	}
}
