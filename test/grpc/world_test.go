package grpc

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// world is a pod and what it calls, each in a network namespace of its own.
type world struct {
	t            testing.TB
	way          way
	host         *netns.Host
	pod, outside *netnstest.Net
	seen         seen
	// servers issues the servers' certificates, egress those that the agent shows to the pod.
	servers, egress *tlstest.Authority
	scratch         string
}

// newWorld makes a world in which the pod's calls go a way.
func newWorld(t *testing.T, how way) *world {
	t.Helper()
	w := &world{t: t, way: how, host: netnstest.Host(t), servers: tlstest.New(t), egress: tlstest.New(t), scratch: t.TempDir()}
	w.pod, w.outside = netnstest.Pair(t, w.host)
	certificate, key := tlstest.PEMs(t, w.servers.Issue(nil, http1Name, http2Name))
	for name, content := range map[string][]byte{
		"hosts":       []byte("127.0.0.1 localhost\n" + netnstest.World4.String() + " " + http1Name + " " + http2Name + "\n"),
		"resolv.conf": []byte("nameserver 127.0.0.1\n"), // where nobody is, which is heard at once
		"cert":        certificate, "key": key, "roots": w.trusted(),
	} {
		check(t, os.WriteFile(w.file(name), content, 0o600))
	}
	if how.captured {
		w.capture()
	}
	return w
}

// file is the path of one of the world's files: hosts and resolv.conf, what programs find in /etc; cert and key, the server's; roots, what clients trust.
func (w *world) file(name string) string { return filepath.Join(w.scratch, name) }

// trusted is what the pod's clients trust: those whose TLS ends at the agent nothing but the agent.
func (w *world) trusted() []byte {
	if w.way.captured {
		return w.egress.PEM()
	}
	return w.servers.PEM()
}

// command is a program in a namespace of the world. It ends with ctx, and its children with it.
func (w *world) command(ctx context.Context, in *netnstest.Net, args ...string) *exec.Cmd {
	const prepare = `mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"`
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + in.Path, "unshare", "-m", "sh", "-c", prepare, w.scratch}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// serve runs a server until the test ends. It returns when the server listens.
func (w *world) serve(at netip.AddrPort, args ...string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := w.command(ctx, w.outside, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(w.t, cmd.Start())
	w.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("the server says: %s", out.String())
		}
	})
	netnstest.Eventually(w.t, 10*time.Second, "the server listens", func() bool {
		c, err := w.outside.Dial(ctx, at, 0)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// listen listens outside the pod.
func (w *world) listen() net.Listener {
	l, err := w.outside.Listen(netip.AddrPortFrom(netnstest.World4, 0))
	check(w.t, err)
	return l
}
