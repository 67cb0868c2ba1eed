package upstream

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// mistaken is a handshake that panics.
type mistaken struct{}

func (mistaken) Handshake(*transport.Conn, Carries) error { panic("as the test asks") }

// A panic of what is done for another address is raised where the request's owner is, who gives the request back.
func TestAPanicBesideADialIsRaisedInIt(t *testing.T) {
	for name, tc := range map[string]struct {
		security Security
		at       map[string]netip.AddrPort
		find     func(*Pool)
	}{
		"in the other one's handshake": {mistaken{}, map[string]netip.AddrPort{fastAddr: listen(t).addr}, func(p *Pool) {
			p.cluster.SetName(nameOf(true, slowAddr, fastAddr))
		}},
		"in looking for it": {nil, nil, func(*Pool) { panic("as the test asks") }},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, func(s *setup) { s.Dialer, s.Security = &raceDialer{at: tc.at}, tc.security })
			r := pinnedTo(slowAddr)
			if r.ask(p) != Dial {
				t.Fatal("not granted")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			func() {
				defer func() {
					if what, stack := panics.Cause(recover()); what != "as the test asks" || len(stack) == 0 {
						t.Errorf("got %v", what)
					}
				}()
				_, err := p.DialNamed(ctx, &r.Request, func(context.Context) { tc.find(p) })
				t.Errorf("no panic, %v", err)
			}()
			p.Cancel(time.Now(), &r.Request)
			checkSums(t, p)
			if st := p.Stats(); st != (Stats{}) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// The connection of the request's own address, which may have been made meanwhile, is not left open.
func TestAPanicBesideADialClosesItsConnection(t *testing.T) {
	s := listen(t)
	k := transport.Connector{Dialer: &plainDialer{}}
	first, err := k.Connect(t.Context(), s.addr)
	if err != nil {
		t.Fatal(err)
	}
	o := &otherAddress{done: make(chan struct{}), timer: time.NewTimer(0), cancel: func() {}}
	<-o.timer.C
	func() {
		defer close(o.done)
		defer o.panicked.Catch()
		panic("as the test asks")
	}()
	defer func() {
		if what, _ := panics.Cause(recover()); what != "as the test asks" {
			t.Errorf("got %v", what)
		}
		if _, err := first.Write([]byte("x")); err == nil {
			t.Error("the connection is open")
		}
	}()
	o.end(first)
}

// panickingDialer makes connections, but for one to slowAddr: it panics as soon as it is overtaken.
type panickingDialer struct{ raceDialer }

func (d *panickingDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	if to.String() == slowAddr {
		<-ctx.Done()
		panic("as the test asks")
	}
	return d.raceDialer.Dial(ctx, to)
}

// Where the first connect panics, the other one has ended, and its connection is closed, when the request is given back.
func TestAPanicOfADialEndsWhatIsBesideIt(t *testing.T) {
	s := listen(t)
	p, _ := newPool(t, func(c *setup) {
		c.Dialer = &panickingDialer{raceDialer{at: map[string]netip.AddrPort{fastAddr: s.addr}}}
	})
	r := pinnedTo(slowAddr)
	if r.ask(p) != Dial {
		t.Fatal("not granted")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	func() {
		defer func() {
			if what, _ := panics.Cause(recover()); what != "as the test asks" {
				t.Errorf("got %v", what)
			}
		}()
		_, err := p.DialNamed(ctx, &r.Request, func(context.Context) { p.cluster.SetName(nameOf(true, slowAddr, fastAddr)) })
		t.Errorf("no panic, %v", err)
	}()
	p.Cancel(time.Now(), &r.Request)
	checkSums(t, p)
	eventually(t, func() bool { return s.most.Load() == 1 && s.open.Load() == 0 })
}
