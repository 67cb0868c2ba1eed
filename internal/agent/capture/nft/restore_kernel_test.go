package nft_test

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestForgottenConnectionsAreRestored has the kernel forget all connections while one that was redirected is open, and the agent speak before it
// is known again: nothing is lost.
func TestForgottenConnectionsAreRestored(t *testing.T) {
	netnstest.Privileged(t)
	for i, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		pod, out := netnstest.Pair(t, netnstest.Host(t))
		world(t, out, 80)
		speak := make(chan struct{})
		pod.Handle(t, netip.MustParseAddrPort(listening[i]), func(c *net.TCPConn) {
			_, _ = io.WriteString(c, capturedAs(c))
			<-speak
			_, _ = io.WriteString(c, "unasked")
			_, _ = io.Copy(c, c)
		})
		table := open(t, pod, options("forget"))
		install(t, table, intent.Redirect{All: true})
		c := connectTo(t, pod, to, "captured "+to)
		m := mechanism.Connection{From: c.LocalAddr().(*net.TCPAddr).AddrPort(), To: netip.MustParseAddrPort(to)}
		if table.forgotten(t, m) {
			t.Error("an open connection is not known")
		}
		inside(t, pod, "conntrack -F")
		if !table.forgotten(t, m) {
			t.Error("a forgotten connection is known")
		}
		close(speak)
		if n, err := table.Restore([]mechanism.Connection{m, m}); err != nil || n != 1 {
			t.Errorf("restored %d, %v, want one", n, err)
		}
		if table.forgotten(t, m) {
			t.Error("a restored connection is not known")
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, len("unasked"))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "unasked" {
			t.Errorf("after it was restored: %q, %v", b, err)
		}
		for range 3 {
			if err := talk(c, "and back"); err != nil {
				t.Errorf("after it was restored: %v", err)
			}
		}
		_ = c.Close()
	}
}

// TestTableTakenAwayUnderOpenConnections has the pod delete the table, and the agent write it again, while a redirected connection is open.
func TestTableTakenAwayUnderOpenConnections(t *testing.T) {
	netnstest.Privileged(t)
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		pod, out := netnstest.Pair(t, netnstest.Host(t))
		agent(t, pod)
		world(t, out, 80)
		table := open(t, pod, options("under"))
		install(t, table, intent.Redirect{All: true})
		c := connectTo(t, pod, to, "captured "+to)
		script(t, pod, "delete table inet fairlead")
		if err := table.TakeOver(intent.Redirect{All: true}); err != nil {
			t.Fatal(err)
		}
		if err := talk(c, "still here"); err != nil {
			t.Errorf("connection to %s: %v", to, err)
		}
	}
}
