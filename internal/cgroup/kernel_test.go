package cgroup_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cgroup"
	"fairlead.dev/fairlead/internal/cgroup/cgrouptest"
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
	group := cgrouptest.New(t, kernelLimit)
	t.Logf("the group is %s", group.Path)
	cmd := group.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), groupVariable+"="+group.Path)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the account is right") {
		t.Errorf("%v\n%s", err, out)
	}
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
