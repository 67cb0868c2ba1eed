package nft_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// callFrom connects from a port of the pod's and returns the connection and what it reads first.
func callFrom(t *testing.T, n *netnstest.Net, to string, port int) (*net.TCPConn, string) {
	t.Helper()
	d := net.Dialer{Timeout: 3 * time.Second, LocalAddr: &net.TCPAddr{Port: port}, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}}
	c, got, err := callWith(n, d, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, got
}

// callWith connects by d from inside n, and returns the connection and what it reads first.
func callWith(n *netnstest.Net, d net.Dialer, to string) (*net.TCPConn, string, error) {
	var c net.Conn
	if err := n.Do(func() (err error) { c, err = d.Dial("tcp", to); return err }); err != nil {
		return nil, "", err
	}
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	b := make([]byte, 64)
	k, err := c.Read(b)
	if err != nil {
		_ = c.Close()
		return nil, "", err
	}
	return c.(*net.TCPConn), string(b[:k]), nil
}

// TestPortOfAFormerConnection has a pod use a port again for a call to the same destination after the kernel tracked a connection
// from there whose end it did not see, because there was no table any more. A connection that is still open is left alone.
func TestPortOfAFormerConnection(t *testing.T) {
	netnstest.Privileged(t)
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		pod, out := netnstest.Pair(t, netnstest.Host(t))
		agent(t, pod)
		world(t, out, 80)
		table := open(t, pod, options("reuse"))
		install(t, table, intent.Redirect{Ports: []uint16{81}})
		former, got := callFrom(t, pod, to, 20000)
		if got != "direct" {
			t.Fatalf("not captured: %q", got)
		}
		kept, _ := callFrom(t, pod, to, 20001)
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
		netnstest.Eventually(t, 3*time.Second, "the kernel tracks no more", func() bool {
			before := tracked(t, pod)
			_ = connectTo(t, pod, to, "direct").Close()
			return tracked(t, pod) == before
		})
		_ = former.SetLinger(0)
		_ = former.Close()
		before := tracked(t, pod)
		install(t, table, intent.Redirect{Ports: []uint16{80}})
		if forgotten := before - tracked(t, pod); forgotten < 1 || forgotten >= before {
			t.Errorf("%d of %d connections forgotten, want the one that has ended and not the other", forgotten, before)
		}
		if _, got := callFrom(t, pod, to, 20000); got != "captured "+to {
			t.Errorf("call to %s from a port used before: %q", to, got)
		}
		if err := talk(kept, "still here"); err != nil {
			t.Errorf("connection to %s that stayed open: %v", to, err)
		}
	}
}

// tracked is how many connections of the namespace the kernel tracks.
func tracked(t *testing.T, n *netnstest.Net) int {
	t.Helper()
	count := 0
	if err := n.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/nf_conntrack")
		count = bytes.Count(b, []byte("\n"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return count
}

// TestOpenConnectionBetweenTheEndsOfACapturedOne has a direct connection open between the same two ends as a captured one had before it, when
// the kernel begins to track again, and the first packet it sees of it come from the server.
func TestOpenConnectionBetweenTheEndsOfACapturedOne(t *testing.T) {
	netnstest.Privileged(t)
	const from = 20000
	for to, at := range map[string]string{"10.99.0.1:80": "0.0.0.0:80", "[fd99::1]:80": "[::]:80"} {
		pod, out := netnstest.Pair(t, netnstest.Host(t))
		for _, at := range listening {
			pod.Handle(t, netip.MustParseAddrPort(at), func(c *net.TCPConn) {
				_, _ = io.WriteString(c, capturedAs(c)) // and closes first, so that the pod can use its port again at once
			})
		}
		speak := make(chan struct{})
		out.Handle(t, netip.MustParseAddrPort(at), func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "direct")
			<-speak
			_, _ = io.WriteString(c, "unasked")
			_, _ = io.Copy(c, c)
		})
		table := open(t, pod, options("ends"))
		install(t, table, intent.Redirect{Ports: []uint16{80}})
		captured, got := callFrom(t, pod, to, from)
		if got != "captured "+to {
			t.Fatalf("before: %q", got)
		}
		// One of the agent's own is known besides.
		own, err := pod.Dial(t.Context(), netip.MustParseAddrPort(to), mark)
		if err != nil {
			t.Fatal(err)
		}
		_ = own.Close()
		_, _ = io.Copy(io.Discard, captured)
		_ = captured.Close()
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
		direct, got := callFrom(t, pod, to, from)
		if got != "direct" {
			t.Fatalf("without a table: %q", got)
		}
		install(t, table, intent.Redirect{Ports: []uint16{80}})
		close(speak)
		b := make([]byte, len("unasked"))
		if _, err := io.ReadFull(direct, b); err != nil || string(b) != "unasked" {
			t.Errorf("the open connection to %s: %q, %v", to, b, err)
		}
		if err := talk(direct, "and back"); err != nil {
			t.Errorf("the open connection to %s: %v", to, err)
		}
		_ = direct.Close()
	}
}
