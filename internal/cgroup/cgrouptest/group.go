// Package cgrouptest makes control groups with a limit of memory, for tests that start processes in them. It is never linked into a binary.
package cgrouptest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"fairlead.dev/fairlead/internal/cgroup"
)

// Group is a control group of the version that this machine has for memory. It is gone when the test ends, and so must be the processes in it.
type Group struct {
	// Path is its folder.
	Path   string
	events string // the file that counts processes killed for memory
}

// New makes a group whose processes may use so many bytes together. A test that may not do that is skipped, loudly; with REQUIRE_PRIVILEGED=1 it fails
// instead.
func New(t testing.TB, limit int64) *Group {
	t.Helper()
	parent, maximum, events := cgroup.DefaultRoot, "memory.max", "memory.events"
	if _, err := os.Stat(filepath.Join(parent, "memory", "cgroup.procs")); err == nil {
		parent, maximum, events = filepath.Join(parent, "memory"), "memory.limit_in_bytes", "memory.oom_control"
	} else if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
		cannot(t, err)
	}
	path, err := os.MkdirTemp(parent, "fairlead-test-")
	if err != nil {
		cannot(t, err)
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(path, maximum), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		t.Fatal(err)
	}
	return &Group{Path: path, events: filepath.Join(path, events)}
}

func cannot(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatalf("this test makes a control group, and REQUIRE_PRIVILEGED=1 forbids to skip it: %v", err)
	}
	t.Skipf("SKIPPED: a control group with an account of memory needs root: %v", err)
}

// Command is a program that begins in the group: a shell enters that before, so that all of the program's memory is accounted for there.
func (g *Group) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("sh", append([]string{"-c", `echo 0 >"$0/cgroup.procs" && exec "$@"`, g.Path, name}, args...)...)
}

// Killed is how many processes of the group were killed because it had no memory left.
func (g *Group) Killed(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(g.events)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if name, value, found := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); found && string(name) == "oom_kill" {
			n, err := strconv.Atoi(string(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s counts no processes that were killed:\n%s", g.events, text)
	return 0
}
