package capture_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// holding keeps the connections that it is given until end is closed.
type holding struct {
	given chan [2]netip.AddrPort // client and original
	end   chan struct{}
}

func (h holding) ServeCaptured(_ capture.PodRef, conn *os.File, original netip.AddrPort) {
	defer func() { _ = conn.Close() }()
	h.given <- [2]netip.AddrPort{transport.PeerAddr(conn), original}
	<-h.end
}

// Who serves a captured connection can ask whether the pod still holds its end of it, by the addresses that it knows.
func TestRule04_AClientThatEndsItsSideIsStillThere(t *testing.T) {
	onEach(t, testRule04_AClientThatEndsItsSideIsStillThere)
}

func testRule04_AClientThatEndsItsSideIsStillThere(t *testing.T, k kernel) {
	host := netnstest.Host(t)
	pod, world := pair(t, host, k)
	serve(t, world)
	at, handler := newSandboxes(), holding{make(chan [2]netip.AddrPort), make(chan struct{})}
	b := run(t, host, at, using(k, func(o *capture.Options) { o.Handler = handler }))
	defer close(handler.end)
	b.want(t, spec("a", everything))
	at.run("a", "one", pod.Path)
	netnstest.Eventually(t, 10*time.Second, "captured", func() bool { return b.Stats().Captured == 1 })
	client, err := pod.dial(t, netip.MustParseAddrPort("10.99.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	given := <-handler.given
	look := func() (open, known bool) { return b.Dialer("a").ClientOpen(given[0], given[1]) }
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if open, known := look(); !open || !known {
		t.Errorf("ended its side: open %v, known %v", open, known)
	}
	if _, known := b.Dialer("another").ClientOpen(given[0], given[1]); known {
		t.Error("known of a pod that is not captured")
	}
	if _, known := b.Dialer("a").ClientOpen(given[0], netip.MustParseAddrPort("10.99.0.1:81")); known {
		t.Error("known of a connection that there is not")
	}
	_ = client.Close()
	netnstest.Eventually(t, 10*time.Second, "it is gone", func() bool { open, known := look(); return known && !open })
}
