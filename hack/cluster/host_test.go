package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// testCluster is a cluster of a test's own, in a state directory of its own.
type testCluster struct {
	tool string
	name string
	home string
	plan plan.Cluster // what of it depends on the name and the directory only
}

// newTestCluster builds the tool and arranges for the cluster, should there be one, to be gone at
// the end.
func newTestCluster(t *testing.T, name string) *testCluster {
	t.Helper()
	requirePrivileges(t)
	home := t.TempDir()
	c := &testCluster{
		tool: filepath.Join(home, "cluster"), name: name, home: home,
		plan: plan.Cluster{Name: name, Dir: filepath.Join(home, "fairlead", "clusters", name)},
	}
	if out, err := exec.Command("go", "build", "-o", c.tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the tool: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.dumpLogs(t)
		}
		if out, err := c.command(context.Background(), "down").CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
	})
	return c
}

func requirePrivileges(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
		t.Fatal("this test needs root, and REQUIRE_PRIVILEGED=1 forbids to skip it")
	}
	t.Skip("SKIPPED: a real cluster needs root")
}

func (c *testCluster) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.tool, append([]string{"-name", c.name}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+c.home)
	return cmd
}

// run fails the test if the tool fails, and returns what it printed.
func (c *testCluster) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.try(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *testCluster) try(t *testing.T, args ...string) (string, error) {
	cmd := c.command(t.Context(), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cluster %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// upUntil runs "up" and kills it when it reports something that contains mark.
func (c *testCluster) upUntil(t *testing.T, mark string) {
	t.Helper()
	cmd := c.command(t.Context(), "up")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	seen := false
	for !seen && lines.Scan() {
		seen = strings.Contains(lines.Text(), mark)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil && !errors.Is(err, fs.ErrClosed) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !seen {
		t.Fatalf("up ended before it reported %q: %v", mark, err)
	}
}

// supervisor reads the recorded process.
func (c *testCluster) supervisor(t *testing.T) machine.ProcessID {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.plan.Dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Supervisor machine.ProcessID }
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s.Supervisor
}

// descendants identifies all that run below the supervisor.
func (c *testCluster) descendants(t *testing.T) []machine.ProcessID {
	t.Helper()
	pids, err := machine.Descendants(c.supervisor(t).PID)
	if err != nil {
		t.Fatal(err)
	}
	var out []machine.ProcessID
	for _, pid := range pids {
		if id, err := machine.Identify(pid); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// requireNothingLeft looks for every kind of trace a cluster could leave on the host.
func (c *testCluster) requireNothingLeft(t *testing.T, processes []machine.ProcessID) {
	t.Helper()
	for _, p := range processes {
		if p.Alive() {
			t.Errorf("process %d is left", p.PID)
		}
	}
	for _, pattern := range []string{"cmdline", "cgroup"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + pattern)
		for _, file := range files {
			b, _ := os.ReadFile(file)
			if bytes.Contains(b, []byte(c.plan.Dir)) || bytes.Contains(b, []byte(c.plan.Cgroup())) {
				t.Errorf("a process is left: %s is %q", file, b)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(c.plan.Dir)) {
		t.Errorf("a mount is left (%v): %s", err, mounts)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, c.plan.Link().Name) {
			t.Errorf("link %s is left", l.Attrs().Name)
		}
	}
	if left, err := machine.CgroupExists(c.plan.Cgroup()); left || err != nil {
		t.Errorf("cgroup %s is left (%v)", c.plan.Cgroup(), err)
	}
	if _, err := os.Stat(c.plan.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state directory is left: %v", err)
	}
}

// dumpLogs shows the ends of all logs: they go with the cluster.
func (c *testCluster) dumpLogs(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(c.plan.LogDir(), "*.log"))
	for _, file := range files {
		b, _ := os.ReadFile(file)
		t.Logf("end of %s:\n%s", filepath.Base(file), b[max(0, len(b)-2000):])
	}
}
