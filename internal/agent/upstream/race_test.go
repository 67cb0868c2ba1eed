package upstream

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// raceDialer makes connections to addresses of documentation: where at says so to a server, and to others not before the context ends.
type raceDialer struct {
	plainDialer
	at      map[string]netip.AddrPort
	refuses map[string]bool
	ended   atomic.Int64 // connects that were given up
}

func (d *raceDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	if d.refuses[to.String()] {
		return nil, syscall.ECONNREFUSED
	}
	if at, ok := d.at[to.String()]; ok {
		return d.plainDialer.Dial(ctx, at)
	}
	<-ctx.Done()
	d.ended.Add(1)
	return nil, ctx.Err()
}

const slowAddr, fastAddr, otherAddr = "198.51.100.1:443", "198.51.100.2:443", "198.51.100.3:443"

// racing asks for a connection to slowAddr.
func racing(t *testing.T, d *raceDialer, change func(*setup), addrs ...string) (*Pool, Lease, error) {
	t.Helper()
	p, _ := newPool(t, func(s *setup) {
		s.Dialer = d
		if change != nil {
			change(s)
		}
	})
	r := pinnedTo(slowAddr)
	if r.ask(p) != Dial {
		t.Fatal("not granted")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	l, err := p.DialNamed(ctx, &r.Request, func(context.Context) { p.cluster.SetName(nameOf(true, addrs...)) })
	return p, l, err
}

// Who does not answer in 250 ms is overtaken by another address of the name, and left out for a while.
func TestAnotherAddressIsConnectedToBesideASlowOne(t *testing.T) {
	d := &raceDialer{at: map[string]netip.AddrPort{fastAddr: listen(t).addr}}
	p, l, err := racing(t, d, nil, slowAddr, fastAddr)
	if err != nil {
		t.Fatal(err)
	}
	if l.Peer().String() != fastAddr || d.ended.Load() != 1 {
		t.Errorf("connected to %v; %d connects were given up", l.Peer(), d.ended.Load())
	}
	checkSums(t, p)
	if got := chosen(t, p, pinnedTo(slowAddr)); got != fastAddr {
		t.Errorf("the next call goes to %s", got)
	}
	l.Release(time.Now(), true)
	checkSums(t, p)
}

func TestTheFirstConnectionCounts(t *testing.T) {
	s := listen(t)
	for name, tc := range map[string]struct {
		d      *raceDialer
		change func(*setup)
		addrs  []string
		want   string // empty: none
		err    error
	}{
		"the address itself":        {d: &raceDialer{at: map[string]netip.AddrPort{slowAddr: s.addr, fastAddr: s.addr}}, addrs: []string{slowAddr, fastAddr}, want: slowAddr},
		"refused at once":           {d: &raceDialer{refuses: map[string]bool{slowAddr: true}}, addrs: []string{slowAddr, fastAddr}, err: syscall.ECONNREFUSED},
		"both slow":                 {d: &raceDialer{}, addrs: []string{slowAddr, fastAddr}, err: context.DeadlineExceeded},
		"the other one refuses":     {d: &raceDialer{refuses: map[string]bool{fastAddr: true}}, addrs: []string{slowAddr, fastAddr}, err: context.DeadlineExceeded},
		"no other one":              {d: &raceDialer{}, addrs: []string{slowAddr}, err: context.DeadlineExceeded},
		"none that may replace it":  {d: &raceDialer{}, addrs: []string{slowAddr, "10.0.0.1:443"}, err: context.DeadlineExceeded},
		"connections are limited":   {d: &raceDialer{at: map[string]netip.AddrPort{fastAddr: s.addr}}, change: func(s *setup) { s.Limits.MaxConnections = 5 }, addrs: []string{slowAddr, fastAddr}, err: context.DeadlineExceeded},
		"one of several is reached": {d: &raceDialer{at: map[string]netip.AddrPort{fastAddr: s.addr, otherAddr: s.addr}}, addrs: []string{slowAddr, fastAddr, otherAddr}, want: "any"},
	} {
		t.Run(name, func(t *testing.T) {
			p, l, err := racing(t, tc.d, tc.change, tc.addrs...)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if err == nil {
				if got := l.Peer().String(); got != tc.want && tc.want != "any" {
					t.Errorf("connected to %s, want %s", got, tc.want)
				}
				l.Release(time.Now(), false)
			}
			checkSums(t, p)
			if st := p.Stats(); st.Active != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// Those who wait for the connection to a slow address have the one that has overtaken it.
func TestWhoWaitsForASlowAddressHasTheOtherOne(t *testing.T) {
	d := &raceDialer{at: map[string]netip.AddrPort{fastAddr: listen(t).addr}}
	p, _ := newPool(t, func(s *setup) { s.Dialer = d })
	many := func() *asking {
		r := pinnedTo(slowAddr)
		r.Multiplexed = true
		return r
	}
	first, other := many(), many()
	if a, b := first.ask(p), other.ask(p); a != Dial || b != Joined {
		t.Fatalf("answers %d and %d", a, b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := p.DialNamed(ctx, &first.Request, func(context.Context) { p.cluster.SetName(nameOf(true, slowAddr, fastAddr)) })
	if err != nil {
		t.Fatal(err)
	}
	l.SetCapacity(10)
	<-other.woken
	got := redeem(t, p, other)
	if got.Conn != l.Conn || got.Peer().String() != fastAddr || other.peer().String() != fastAddr {
		t.Errorf("it has a connection to %v", got.Peer())
	}
	slow := p.at(netip.MustParseAddrPort(slowAddr))
	if n, m := slow.host.outstanding.Load(), l.to.host.outstanding.Load(); n != 0 || m != 2 {
		t.Errorf("%d calls are under way to the slow address, %d to the other", n, m)
	}
	got.Release(time.Now(), true)
	l.Release(time.Now(), true)
	checkSums(t, p)
	if p.Stats() != (Stats{Idle: 1}) {
		t.Errorf("%+v", p.Stats())
	}
}

// unhurried is a handshake that takes longer than an address is waited for, unless others are looked for meanwhile.
type unhurried struct{ found chan struct{} }

func (h unhurried) Handshake(*transport.Conn, Carries) error {
	select {
	case <-h.found:
		return errors.New("another address was looked for")
	case <-time.After(2 * raceAfter):
		return nil
	}
}

// An address that is connected to is not too slow, however long its handshake takes.
func TestAHandshakeIsNotOvertaken(t *testing.T) {
	d := &raceDialer{at: map[string]netip.AddrPort{slowAddr: listen(t).addr}}
	h := unhurried{make(chan struct{})}
	p, _ := newPool(t, func(s *setup) { s.Dialer, s.Security = d, h })
	r := pinnedTo(slowAddr)
	if r.ask(p) != Dial {
		t.Fatal("not granted")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := p.DialNamed(ctx, &r.Request, func(context.Context) { close(h.found) })
	if err != nil {
		t.Fatal(err)
	}
	l.Release(time.Now(), false)
	checkSums(t, p)
}
