package standalone

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

// localhost is ::1 first on many machines, and servers that are written quickly listen on 127.0.0.1 alone.
func TestAHostIsReachedByTheAddressThatAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	e, err := New(Options{Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	e.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("::ffff:127.0.0.1")}, nil
	}
	to, err := e.Resolve(t.Context(), "localhost", port)
	if err != nil || to != netip.AddrPortFrom(netip.IPv6Loopback(), port) {
		t.Fatalf("%s, %v", to, err)
	}
	d := dialer{further: &e.further}
	c, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, err := e.Resolve(t.Context(), "::1", port); err != nil { // whoever names an address means that one
		t.Fatal(err)
	}
	if c, err := d.Dial(t.Context(), to); err == nil {
		_ = c.Close()
		t.Errorf("a connection to %s goes elsewhere", to)
	}
}
