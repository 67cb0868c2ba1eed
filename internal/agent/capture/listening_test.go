package capture_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// Each connection of a pod is accepted in the pod's turn: none is without one, and when the pod is captured no more there are no turns either.
func TestConnectionsAreAcceptedInTurn(t *testing.T) {
	onEach(t, testConnectionsAreAcceptedInTurn)
}

func testConnectionsAreAcceptedInTurn(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, _ := pair(t, host, k)
	at := newSandboxes()
	at.run("a", "one", pod.Path)
	let := make(chan struct{})
	var loops, ended atomic.Int32
	b := run(t, host, at, using(k, func(o *capture.Options) {
		o.Listening = func(p capture.PodRef) (turn, done func()) {
			if p.UID != "a" {
				t.Errorf("turns of pod %q", p.UID)
			}
			loops.Add(1)
			return func() { <-let }, func() { ended.Add(1) }
		}
	}))
	b.want(t, spec("a", everything))
	const calls = 3
	answers := make(chan error, calls)
	for range calls {
		c, err := pod.dial(t, netip.MustParseAddrPort("10.99.0.1:80"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer func() { _ = c.Close() }()
			answers <- hear(c, "agent a 10.99.0.1:80")
		}()
	}
	if n := b.Stats().Accepted; n != 0 {
		t.Errorf("%d connections were accepted before the pod's turn", n)
	}
	close(let)
	for range calls {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	netnstest.Eventually(t, time.Second, "nothing takes turns any more", func() bool { return loops.Load() > 0 && loops.Load() == ended.Load() })
}
