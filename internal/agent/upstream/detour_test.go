package upstream

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// familyDialer is that of a pod that has IPv6 alone: nobody is asked at addresses of the other family. It remembers where it was sent.
type familyDialer struct {
	plainDialer
	server netip.AddrPort
	lacks  error
	asked  []string
}

func (d *familyDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	d.asked = append(d.asked, to.String())
	if to.Addr().Is4() {
		return nil, d.lacks
	}
	return d.plainDialer.Dial(ctx, d.server)
}

// noProxy is a proxy that lets everything through.
type noProxy struct{}

func (noProxy) Connect(*transport.Conn, uint16) error { return nil }

// A pod that has one family alone loses no attempt with the addresses of the other one that a name has as well.
func TestAnAttemptTakesTheFamilyThatThePodHas(t *testing.T) {
	const four, six, six2 = "198.51.100.1:443", "[2001:db8:1::1]:443", "[2001:db8:1::2]:443"
	for name, tc := range map[string]struct {
		change func(*setup)
		addrs  []string
		avoid  []string
		err    error
		want   []string // what is connected to, one after the other
		fails  bool
	}{
		"no way":                     {nil, []string{six, six2, four}, []string{six}, syscall.ENETUNREACH, []string{four, six2}, false},
		"no such family":             {nil, []string{six, six2, four}, []string{six}, syscall.EAFNOSUPPORT, []string{four, six2}, false},
		"nothing but what was tried": {nil, []string{six, four}, []string{six}, syscall.ENETUNREACH, []string{four, six}, false},
		"nothing at all":             {nil, []string{four}, []string{four}, syscall.ENETUNREACH, []string{four}, true},
		"somebody refuses":           {nil, []string{six, six2, four}, []string{six}, syscall.ECONNREFUSED, []string{four}, true},
		"connections are limited":    {func(s *setup) { s.Limits.MaxConnections = 5 }, []string{six, six2, four}, []string{six}, syscall.ENETUNREACH, []string{four}, true},
		"a proxy":                    {func(s *setup) { s.Proxy, s.Random = noProxy{}, func() uint64 { return 0 } }, []string{four, six}, nil, syscall.ENETUNREACH, []string{four, six}, false},
		"a proxy of that family":     {func(s *setup) { s.Proxy = noProxy{} }, []string{four}, nil, syscall.ENETUNREACH, []string{four}, true},
	} {
		for _, racing := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				d := &familyDialer{server: listen(t).addr, lacks: tc.err}
				p, _ := newPool(t, func(s *setup) {
					s.Dialer = d
					if tc.change != nil {
						tc.change(s)
					}
				})
				p.cluster.SetName(nameOf(true, tc.addrs...))
				original := six
				if len(tc.avoid) > 0 {
					original = tc.avoid[0]
				}
				r := pinnedTo(original, tc.avoid...)
				if r.ask(p) != Dial {
					t.Fatal("not granted")
				}
				dial := p.Dial
				if racing {
					dial = func(ctx context.Context, r *Request) (Lease, error) {
						return p.DialNamed(ctx, r, func(context.Context) {})
					}
				}
				l, err := dial(t.Context(), &r.Request)
				if tc.fails != (err != nil) || err != nil && !errors.Is(err, tc.err) {
					t.Errorf("got %v", err)
				}
				if !slices.Equal(d.asked, tc.want) {
					t.Errorf("connected to %v, want %v", d.asked, tc.want)
				}
				if err == nil {
					if got, want := l.Peer().String(), tc.want[len(tc.want)-1]; got != want {
						t.Errorf("the connection is one to %s, want %s", got, want)
					}
					l.Release(time.Now(), false)
				}
				checkSums(t, p)
			})
		}
	}
}
