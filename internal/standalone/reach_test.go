package standalone

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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

// Hosts may have their first address in common, as those of a proxy do, and others of their own: what is for one host is not called at another's.
func TestHostsWithTheSameFirstAddress(t *testing.T) {
	e, err := New(Options{Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string][]string{
		"a": {"192.0.2.1", "192.0.2.2", "192.0.2.3"}, "b": {"192.0.2.1", "192.0.2.3", "192.0.2.4"}, "c": {"192.0.2.1", "192.0.2.2", "192.0.2.4"},
	}
	e.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) { return parsed(hosts[host]...), nil }
	for _, step := range []struct {
		host string
		port uint16
		want []netip.Addr
	}{
		{"a", 80, parsed("192.0.2.2", "192.0.2.3")}, {"b", 80, parsed("192.0.2.3")}, {"a", 80, parsed("192.0.2.3")}, {"b", 81, parsed("192.0.2.3", "192.0.2.4")}, {"c", 80, nil},
		{"b", 80, nil},
	} {
		first, err := e.Resolve(t.Context(), step.host, step.port)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, e.further.of(first), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("after %s:%d\n%s", step.host, step.port, diff)
		}
	}
	hosts["b"] = []string{"192.0.2.1", "192.0.2.5"}
	first, err := e.Resolve(t.Context(), "b", 81)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.further.of(first); len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.5") {
		t.Errorf("after b has moved: %s", got)
	}
}

// Of more addresses than are kept there are no further ones, and those that were kept stay.
func TestFurtherAddressesAreLimited(t *testing.T) {
	var f further
	first := func(port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(port))
	}
	for i := range maxFurther + 1 {
		f.keep("a", first(i), parsed("192.0.2.2"))
	}
	if len(f.of(first(0))) != 1 || len(f.of(first(maxFurther-1))) != 1 || len(f.of(first(maxFurther))) != 0 {
		t.Errorf("kept are %d, of the last %s", len(f.all), f.of(first(maxFurther)))
	}
}

func parsed(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// An address that drops packets leaves as much time for each that comes after it.
func TestTimeIsSharedByAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if end := share(t.Context(), 2); !end.IsZero() {
			t.Errorf("without a deadline it is %s", end)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		for after, want := range []time.Duration{6 * time.Second, 3 * time.Second, 2 * time.Second} {
			if got := time.Until(share(ctx, after)); got != want {
				t.Errorf("before %d others it is %s, want %s", after, got, want)
			}
		}
	})
}
