package dashboard

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What opens the browser is given a file that its user alone can read, and no address; the file is gone afterwards.
func TestTheBrowserIsGivenAFileThatNobodyElseReads(t *testing.T) {
	const address = "http://127.0.0.1:8080/ONCE"
	bin := t.TempDir()
	given := filepath.Join(bin, "given")
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	program := "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + given + "\ncat \"$1\" >>" + given + "\n"
	if err := os.WriteFile(filepath.Join(bin, name), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	file, remove, err := redirect(address)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if at, err := os.Stat(path); err != nil || at.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, at.Mode(), err, want)
		}
	}
	if err := run(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(given)
	if err != nil {
		t.Fatal(err)
	}
	args, page, _ := strings.Cut(string(got), "\n")
	if args != file || !strings.Contains(page, `content="0; url=`+address+`"`) {
		t.Errorf("given %q, which has %q", args, page)
	}
	remove()
	if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
	if a := opener(t.Context(), file).SysProcAttr; a == nil || !a.Setpgid {
		t.Error("the browser gets the Ctrl-C that is for the dashboard")
	}
}

// Where nothing opens a browser, that is said, and no file is left.
func TestNoBrowser(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("PATH", t.TempDir())
	if err := open(context.Background(), "http://127.0.0.1:8080/ONCE"); err == nil {
		t.Error("a browser is opened")
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
