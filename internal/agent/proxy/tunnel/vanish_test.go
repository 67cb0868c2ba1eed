package tunnel

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// A server whose host vanishes while it owes an acknowledgement reaches the client as a reset, when its keep-alive would have
// given it up; the kernel alone takes a quarter of an hour.
func TestAVanishedServerEndsTheTunnel(t *testing.T) {
	netnstest.Privileged(t)
	pod, world := netnstest.Pair(t, netnstest.Host(t))
	done := make(chan struct{})
	to := world.Handle(t, netip.AddrPortFrom(netnstest.World4, 0), func(*net.TCPConn) { <-done })
	t.Cleanup(func() { close(done) })
	outer, err := pod.Dial(t.Context(), to, 0)
	if err != nil {
		t.Fatal(err)
	}
	server := on(outer)
	if err := server.SetKeepAlive(transport.KeepAlive{Idle: time.Second, Interval: time.Second, Probes: 1}); err != nil {
		t.Fatal(err)
	}
	world.Vanish(t)
	client, inner := pair(t)
	if _, err := client.Write([]byte("anybody there?")); err != nil {
		t.Fatal(err)
	}
	if got, err := New(on(inner), server, Options{}).Run(); err != nil || got.End != Broken {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client got %v, want a reset", err)
	}
}
