package run

import (
	"os"
	"path/filepath"
	"testing"
)

// Calls that are logged are for who runs the command; a file that there is keeps its mode and what it has.
func TestTheAccessLogIsForItsUserAlone(t *testing.T) {
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared")
	if err := os.WriteFile(shared, []byte("before\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{filepath.Join(dir, "new"): 0o600, shared: 0o640} {
		to, end, err := (&runner{options: &Options{AccessLog: name}}).openAccessLog()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write([]byte("call\n")); err != nil {
			t.Error(err)
		}
		end()
		at, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if at.Mode().Perm() != want {
			t.Errorf("%s: %s, want %s", name, at.Mode(), want)
		}
	}
	if text, err := os.ReadFile(shared); err != nil || string(text) != "before\ncall\n" {
		t.Errorf("%q, %v", text, err)
	}
}
