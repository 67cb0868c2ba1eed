package capture_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestOnePodsFloodLeavesOthersCaptured: a pod with very many connections sheds, and the calls of others stay governed.
func TestOnePodsFloodLeavesOthersCaptured(t *testing.T) {
	host := netnstest.Host(t)
	flooding, world := pair(t, host, nftKernel{})
	neighbour, other := pair(t, host, nftKernel{})
	serve(t, world)
	serve(t, other)
	at := newSandboxes()
	at.run("a", "one", flooding.Path)
	at.run("b", "two", neighbour.Path)
	b := run(t, host, at, func(o *capture.Options) { o.MaxConnections = 20 })
	b.want(t, spec("a", everything), spec("b", everything))
	kept := open(t, neighbour, "10.99.0.1:80", "agent b 10.99.0.1:80")
	for range 20 {
		open(t, flooding, "10.99.0.1:80", "agent a 10.99.0.1:80")
	}
	netnstest.Eventually(t, 5*time.Second, "new calls of the flooding pod go direct", func() bool {
		got, err := flooding.call(t, "10.99.0.1:80")
		return err == nil && got == "direct"
	})
	expect(t, neighbour, "10.99.0.1:80", "agent b 10.99.0.1:80")
	if err := talk(kept, "still here"); err != nil {
		t.Error(err)
	}
	netnstest.Eventually(t, 5*time.Second, "the flooding pod alone is a problem", func() bool {
		p, s := b.Problems(), b.Stats()
		return len(p) == 1 && p[0].Pod == "pod-a" && s.SheddingPods == 1
	})
}

// TestAFloodThatCannotGoDirectIsRefused: pods that fail closed never go past the agent, and one of them must not bring it down.
func TestAFloodThatCannotGoDirectIsRefused(t *testing.T) {
	host := netnstest.Host(t)
	flooding, world := pair(t, host, nftKernel{})
	neighbour, other := pair(t, host, nftKernel{})
	serve(t, world)
	serve(t, other)
	at := newSandboxes()
	at.run("a", "one", flooding.Path)
	at.run("b", "two", neighbour.Path)
	b := run(t, host, at, func(o *capture.Options) { o.MaxConnections = 20 })
	closed := intent.Redirect{All: true, FailClosed: true}
	b.want(t, spec("a", closed), spec("b", closed))
	var calls []*net.TCPConn
	for range 21 {
		calls = append(calls, open(t, flooding, "10.99.0.1:80", "agent a 10.99.0.1:80"))
	}
	netnstest.Eventually(t, 5*time.Second, "new calls of the flooding pod are refused", func() bool {
		got, err := flooding.call(t, "10.99.0.1:80")
		return err != nil && got == ""
	})
	expect(t, neighbour, "10.99.0.1:80", "agent b 10.99.0.1:80")
	if n := b.Notices(); len(n) != 1 || n[0].Pod != "pod-a" || n[0].Reason != capture.ReasonOverload || !strings.Contains(n[0].Message, "refused") {
		t.Errorf("notices: %+v", n)
	}
	if b.Stats().Refused == 0 {
		t.Error("none was counted")
	}
	for i, c := range calls {
		if err := talk(c, strconv.Itoa(i)); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
		_ = c.Close()
	}
	netnstest.Eventually(t, 5*time.Second, "calls are served again", func() bool {
		got, err := flooding.call(t, "10.99.0.1:80")
		return err == nil && got == "agent a 10.99.0.1:80"
	})
}

// TestWithoutMemoryTheFloodLosesConnections: an agent that is killed for its memory ends all connections of the node.
func TestWithoutMemoryTheFloodLosesConnections(t *testing.T) {
	host := netnstest.Host(t)
	flooding, world := pair(t, host, nftKernel{})
	neighbour, other := pair(t, host, nftKernel{})
	serve(t, world)
	serve(t, other)
	at := newSandboxes()
	at.run("a", "one", flooding.Path)
	at.run("b", "two", neighbour.Path)
	m := &memory{}
	b := run(t, host, at, func(o *capture.Options) { o.Memory = m })
	b.want(t, spec("a", everything), spec("b", everything))
	kept := open(t, neighbour, "10.99.0.1:80", "agent b 10.99.0.1:80")
	for range 20 {
		open(t, flooding, "10.99.0.1:80", "agent a 10.99.0.1:80")
	}
	m.percent.Store(97)
	netnstest.Eventually(t, 10*time.Second, "the flooding pod has fewer connections", func() bool {
		s := b.Stats()
		return s.Shed > 0 && s.Connections <= 18
	})
	m.percent.Store(50)
	if err := talk(kept, "still here"); err != nil {
		t.Error(err)
	}
}
