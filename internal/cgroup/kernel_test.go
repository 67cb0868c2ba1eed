package cgroup_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cgroup"
)

const (
	groupVariable = "FAIRLEAD_TEST_CGROUP" // set in the process that reads the account of the group it was started in
	kernelLimit   = 64 << 20
)

// TestTheKernelsOwnAccount has a process in a group with a limit read its account, whichever version of control groups this machine has.
func TestTheKernelsOwnAccount(t *testing.T) {
	if group := os.Getenv(groupVariable); group != "" {
		readOwn(t, group)
		return
	}
	group, limit := newGroup(t)
	t.Logf("the group is %s", group)
	if err := os.WriteFile(filepath.Join(group, limit), []byte(strconv.Itoa(kernelLimit)), 0); err != nil {
		t.Fatal(err)
	}
	// The shell enters the group before the test's program starts, so that all of it is accounted for there.
	cmd := exec.Command("sh", "-c", `echo 0 >"$0/cgroup.procs" && exec "$@"`, group, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), groupVariable+"="+group)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the account is right") {
		t.Errorf("%v\n%s", err, out)
	}
}

// newGroup makes a group below the root of the hierarchy that has memory, and returns the name of its file for the limit.
func newGroup(t *testing.T) (group, limit string) {
	t.Helper()
	parent, limit := cgroup.DefaultRoot, "memory.max"
	if _, err := os.Stat(filepath.Join(parent, "memory", "cgroup.procs")); err == nil {
		parent, limit = filepath.Join(parent, "memory"), "memory.limit_in_bytes"
	} else if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
		cannot(t, err)
	}
	group, err := os.MkdirTemp(parent, "fairlead-test-")
	if err != nil {
		cannot(t, err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	return group, limit
}

func cannot(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatalf("this test makes a control group, and REQUIRE_PRIVILEGED=1 forbids to skip it: %v", err)
	}
	t.Skipf("SKIPPED: a control group with an account of memory needs root: %v", err)
}

func readOwn(t *testing.T, group string) {
	m, err := cgroup.Open(cgroup.DefaultRoot, cgroup.DefaultSelf)
	if err != nil {
		t.Fatalf("in %s: %v", group, err)
	}
	defer func() { _ = m.Close() }()
	used, limit, limited := m.Usage()
	if limit != kernelLimit || !limited || used <= 0 || used > limit {
		t.Fatalf("in %s: %d of %d bytes, limited %t", group, used, limit, limited)
	}
	fmt.Println("the account is right")
}
