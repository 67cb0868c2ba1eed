package nft_test

import (
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestConnectionsOfTheAgentOutliveTakeOvers has the agent talk all the time on connections of its own while another agent takes the
// table over, as in an upgrade. A packet of such a connection that were not found in its zone would be taken for a new connection,
// from a port that is taken, and leave from another port: the server would answer with a reset.
func TestConnectionsOfTheAgentOutliveTakeOvers(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	agent(t, pod)
	world(t, out, 80)
	install(t, open(t, pod, options("first")), intent.Redirect{All: true})
	over := make(chan struct{})
	var talkers sync.WaitGroup
	t.Cleanup(talkers.Wait)
	for _, to := range addrs("10.99.0.1:80", "[fd99::1]:80") {
		c, err := pod.Dial(t.Context(), to, mark)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len("direct"))
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		talkers.Go(func() {
			defer func() { _ = c.Close() }()
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				if err := talk(c, "word "+strconv.Itoa(n)); err != nil {
					t.Errorf("connection to %s, word %d: %v", to, n, err)
					return
				}
			}
		})
	}
	for i := range 30 {
		table := open(t, pod, options("next"+strconv.Itoa(i)))
		if err := table.TakeOver(intent.Redirect{All: true}); err != nil {
			t.Error(err)
			break
		}
	}
	close(over)
}

// TestCallsCapturedFromTheFirstMomentOn has a pod call all the time while its table is written, without a lease in its rules: a
// connection that the agent makes for the first call it gets must be tracked from its first packet on as it is later.
func TestCallsCapturedFromTheFirstMomentOn(t *testing.T) {
	netnstest.Privileged(t)
	pod, out := netnstest.Pair(t, netnstest.Host(t))
	world(t, out, 80)
	to := addrs("10.99.0.1:80")[0]
	served := make(chan error, 1000)
	pod.Handle(t, addrs("127.0.0.1:14001")[0], func(c *net.TCPConn) { served <- callFor(t, pod, to, c) })
	for i := range 10 {
		table := open(t, pod, options("closed"+strconv.Itoa(i)))
		quiet := callAllTheTime(t, pod, to)
		if err := table.Install(intent.Redirect{All: true, FailClosed: true}); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := <-served; err != nil {
				t.Errorf("round %d: %v", i, err)
			}
		}
		quiet()
		netnstest.Eventually(t, 10*time.Second, "all calls are served", func() bool {
			for len(served) > 0 {
				<-served
			}
			n, err := table.Busy()
			return err == nil && n == 0
		})
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}

// callAllTheTime has four callers in the pod call until the returned function is called.
func callAllTheTime(t *testing.T, pod *netnstest.Net, to netip.AddrPort) (quiet func()) {
	over := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if c, err := pod.Dial(t.Context(), to, 0); err == nil {
					_, _ = io.ReadFull(c, make([]byte, len("direct")))
					_ = c.Close()
				}
			}
		})
	}
	return func() { close(over); callers.Wait() }
}

// callFor makes a connection of the agent's, sends and receives on it for a while and passes the greeting on to client.
func callFor(t *testing.T, pod *netnstest.Net, to netip.AddrPort, client net.Conn) error {
	c, err := pod.Dial(t.Context(), to, mark)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	b := make([]byte, len("direct"))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	for n := range 200 {
		if err := talk(c, "word "+strconv.Itoa(n)); err != nil {
			return err
		}
	}
	_, err = client.Write(b)
	return err
}
