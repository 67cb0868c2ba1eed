package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// benchPods is how many pods call where several do.
const benchPods = 4

// podAddr is the address that a pod's calls come from.
func podAddr(i int) net.IP { return net.IPv4(10, 99, 1, byte(1+i)) }

// world is the namespace the measurements happen in and the processes in it.
type world struct {
	dir   string
	cores layout
	procs []*exec.Cmd
}

func newWorld(cores layout) (*world, error) {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, cores: cores}
	if err := writeCertificates(dir); err != nil {
		return nil, err
	}
	for _, c := range []string{
		"ip link set lo up", "ip addr add " + upstreamIP + "/32 dev lo", "ip addr add 10.99.1.0/24 dev lo",
		"sysctl -qw net.ipv4.ip_local_port_range='1024 65000'", "sysctl -qw net.ipv4.tcp_tw_reuse=1",
	} {
		if out, err := exec.Command("bash", "-c", c).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", c, err, out)
		}
	}
	return w, nil
}

func (w *world) close() {
	for len(w.procs) > 0 {
		w.stop(w.procs[0])
	}
	os.RemoveAll(w.dir)
}

// stop ends a command that start has started.
func (w *world) stop(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	w.procs = slices.DeleteFunc(w.procs, func(p *exec.Cmd) bool { return p == cmd })
}

// start runs a command pinned to cores. Its output goes to a log in the world's folder.
func (w *world) start(name string, cores []int, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(w.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(cores), " ", ","), "[]")
	cmd := exec.Command("taskset", append([]string{"-c", list}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.procs = append(w.procs, cmd)
	return cmd, nil
}
