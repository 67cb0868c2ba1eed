package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// kubectl prepares a run of kubectl as administrator.
func (c *Cluster) kubectl(ctx context.Context, s *state, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig())
	return cmd
}

// inNode prepares a command to run inside all namespaces of node k. Its failure to find the node
// shows when it is run.
func (c *Cluster) inNode(ctx context.Context, s *state, k int, args ...string) *exec.Cmd {
	pid, err := machinePID(s, k)
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target=" + strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
	}, args...)...)
	cmd.Err = errors.Join(cmd.Err, err)
	return cmd
}

func machinePID(s *state, k int) (int, error) {
	return machine.MachinePID(s.Supervisor.PID, plan.NodeName(k))
}

// runTied runs a command that must not outlive us, even if we are killed. The kernel ties it to the
// thread that started it (prctl(2), PR_SET_PDEATHSIG), so that thread has to stay until it ends.
func runTied(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

// runAttached runs a command with our input and output.
func runAttached(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
