package proxy

import (
	"bufio"
	"errors"
	"io"
	"sync/atomic"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// What a client has said on a connection that is passed through has left nobody while connecting fails: another attempt is made, whichever
// calls the policy lets be repeated, and the server hears it once.
func TestRule07_APassedConnectionIsMadeAnewWhileNothingWasSent(t *testing.T) {
	for name, kind := range kinds {
		if !kind.governed {
			continue
		}
		for _, gate := range []policy.Idempotency{policy.SafeMethods, policy.AnyMethod} {
			t.Run(name+"/"+gate.String(), func(t *testing.T) {
				var heard atomic.Int64
				w := build(t, serve(t, func(_ int, p *peer) {
					n, _ := io.Copy(p, p.r)
					heard.Add(n)
				}), kind.bindings(func(s *policy.Settings) { s.Retry.Idempotency, s.Retry.MaxRetries = gate, 2 })...)
				w.dialer.refuse.Store(2)
				reached, attempts := w.reachesBy(kind.opening)
				if !reached || attempts != 3 {
					t.Errorf("reached %v after %d attempts", reached, attempts)
				}
				w.waitFor(t, func() bool { return w.server.Connections() == 0 })
				poll(t, func() bool { return heard.Load() > 0 })
				if n := heard.Load(); n != int64(len(kind.opening)) {
					t.Errorf("the server heard %d bytes of %d", n, len(kind.opening))
				}
			})
		}
	}
}

// Once the server has any of it nothing is sent again, whatever the policy lets be repeated: the client sees the reset.
func TestRule07_APassedConnectionIsNotMadeAnewOnceSomethingWasSent(t *testing.T) {
	for name, kind := range kinds {
		if !kind.governed {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := buildWith(t, Options{sniffDelay: patience}, serve(t, func(_ int, p *peer) {
				_, _ = io.ReadFull(p, make([]byte, len(kind.opening)))
				_ = p.SetLinger(0) // to reset
			}), kind.bindings(func(s *policy.Settings) {
				s.Retry.Idempotency, s.Retry.MaxRetries, s.Retry.On = policy.AnyMethod, 2, policy.Of(policy.ConnectFailure, policy.Reset)
			})...)
			c := w.dial()
			c.send(kind.opening)
			if _, err := bufio.NewReader(c).ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
			w.waitFor(t, func() bool { return w.server.Connections() == 0 })
			if n := w.dialer.dials.Load(); n != 1 {
				t.Errorf("the server was connected to %d times", n)
			}
		})
	}
}
