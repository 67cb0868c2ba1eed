package nft_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestForgottenConnectionsAreRestored has the kernel forget all connections while one that was redirected is open, and the agent send before it
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

// TestRestoredConnectionsAreKnownAsLongAsOthers: one on which nothing is sent must not be forgotten again minutes later.
func TestRestoredConnectionsAreKnownAsLongAsOthers(t *testing.T) {
	netnstest.Privileged(t)
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		pod, _ := netnstest.Pair(t, netnstest.Host(t))
		agent(t, pod)
		table := open(t, pod, options("idle"))
		install(t, table, intent.Redirect{All: true})
		c := connectTo(t, pod, to, "captured "+to)
		m := mechanism.Connection{From: c.LocalAddr().(*net.TCPAddr).AddrPort(), To: netip.MustParseAddrPort(to)}
		before := lifetime(t, pod, c)
		inside(t, pod, "conntrack -F")
		if n, err := table.Restore([]mechanism.Connection{m}); err != nil || n != 1 {
			t.Fatalf("restored %d, %v, want one", n, err)
		}
		if after := lifetime(t, pod, c); after < before-time.Minute {
			t.Errorf("known for %s, and for %s after it was restored", before, after)
		}
	}
}

// lifetime is for how long the kernel knows a connection of the pod's on which nothing is sent.
func lifetime(t *testing.T, pod *netnstest.Net, c *net.TCPConn) (left time.Duration) {
	t.Helper()
	port := fmt.Sprintf("sport=%d ", c.LocalAddr().(*net.TCPAddr).Port)
	if err := pod.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/nf_conntrack")
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); strings.Contains(line, port) && len(f) > 4 {
				seconds, _ := strconv.Atoi(f[4])
				left = time.Duration(seconds) * time.Second
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return left
}

// TestConnectionsThatEndWhileTheyAreRestoredAreForgotten: nothing would inform the kernel of an end that it has missed, and another connection
// between the same two ports would be taken for the one that has ended.
func TestConnectionsThatEndWhileTheyAreRestoredAreForgotten(t *testing.T) {
	netnstest.Privileged(t)
	pod, _ := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	table := open(t, pod, options("ended"))
	install(t, table, intent.Redirect{All: true})
	var all []mechanism.Connection
	for _, to := range []string{"10.99.0.1:80", "[fd99::1]:80"} {
		c := connectTo(t, pod, to, "captured "+to)
		all = append(all, mechanism.Connection{From: c.LocalAddr().(*net.TCPAddr).AddrPort(), To: netip.MustParseAddrPort(to)})
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	netnstest.Eventually(t, 10*time.Second, "they have ended", func() bool { n, err := table.Busy(); return err == nil && n == 0 })
	inside(t, pod, "conntrack -F")
	if _, err := table.Restore(all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if !table.forgotten(t, m) {
			t.Errorf("%v is known although it has ended", m)
		}
	}
}
