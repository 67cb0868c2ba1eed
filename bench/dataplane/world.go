package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	upstreamIP   = "10.99.0.1"
	frontPort    = 8080 // what the load generator calls; redirected to the proxy under test
	backPort     = 8081 // the same server, for proxies that cannot mark their connections
	upstreamMark = 0x66
	// benchPods is how many pods call where several do.
	benchPods = 4
)

var upstreamAddrs = []string{fmt.Sprintf("%s:%d", upstreamIP, frontPort), fmt.Sprintf("%s:%d", upstreamIP, backPort)}

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
	for _, p := range w.procs {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	os.RemoveAll(w.dir)
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

// redirect sends calls to the front port through the proxy on port; 0 lets them go directly. zoned adds what fairlead's agent adds: the
// proxy's own connections are tracked in a zone of their own, which costs every packet a comparison.
func redirect(port int, zoned bool) error {
	rules := "table ip bench\ndelete table ip bench\n"
	if port != 0 {
		rules += fmt.Sprintf(`table ip bench {
	chain out {
		type nat hook output priority -100; policy accept;
		meta mark %d return
		ip daddr %s tcp dport %d redirect to :%d
	}
}
`, upstreamMark, upstreamIP, frontPort, port)
	}
	if zoned {
		rules += fmt.Sprintf(`table ip bench {
	chain zone {
		type filter hook output priority raw; policy accept;
		meta mark %d ct original zone set %d
	}
}
`, upstreamMark, upstreamMark)
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
