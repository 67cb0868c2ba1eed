package proxy

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

// declaredTCP is a binding for every destination, whose connections have no calls.
func declaredTCP(change func(*policy.Settings)) policy.Binding {
	b := toAny(change)
	b.To.Protocol = policy.ProtocolTCP
	return b
}

// copying is a server that sends back what it receives.
func copying(_ int, p *peer) { _, _ = io.Copy(p, p.r) }

// reached reports whether the server answers on the connection, which is reset otherwise.
func (c *client) reached() bool {
	c.t.Helper()
	return c.reachedBy("hello")
}

// reachedBy is reached for a client that says this.
func (c *client) reachedBy(words string) bool {
	c.t.Helper()
	_, err := io.WriteString(c, words)
	if err == nil { // one that has been reset already says so only once
		_, err = io.ReadFull(c.r, make([]byte, len(words)))
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		c.t.Fatalf("%v, want a reset", err)
	}
	return err == nil
}

// reaches reports whether a connection reaches its server, and after how many attempts.
func (w *testProxy) reaches() (reached bool, attempts int64) {
	w.t.Helper()
	return w.reachesBy("hello")
}

// reachesBy is reaches for a client that says this.
func (w *testProxy) reachesBy(words string) (reached bool, attempts int64) {
	w.t.Helper()
	before := w.dialer.dials.Load()
	c, err := net.Dial("tcp", w.captured.Addr().String())
	switch {
	case err == nil:
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		reached = newClient(w.t, c.(*net.TCPConn), tlslayer.HTTP1).reachedBy(words)
	case !errors.Is(err, syscall.ECONNRESET): // it may be reset before it is known to be established
		w.t.Fatal(err)
	}
	return reached, w.dialer.dials.Load() - before
}

// Each field decides how often connecting is attempted.
//
//enforces:opaque retry.maxRetries retry.when retry.overrides[].when retry.overrides[].maxRetries
//enforces:opaque retry.budget.percent retry.budget.minRetriesPerSecond
func TestRule09_FieldsDecideOnRetriesOfConnecting(t *testing.T) {
	failure, other := policy.Of(policy.ConnectFailure), policy.Of(policy.GatewayError)
	override := func(retries int) func(*policy.Retry) {
		return func(r *policy.Retry) {
			r.On, r.Overrides = other, []policy.RetryOverride{{On: failure, MaxRetries: retries, Backoff: r.Backoff}}
		}
	}
	for name, tc := range map[string]struct {
		set         func(*policy.Retry)
		fails       int64 // so many attempts
		connections int   // 1 if 0
		want        int64 // attempts
		reached     bool
	}{
		"maxRetries":              {set: func(r *policy.Retry) { r.MaxRetries = 4 }, fails: 4, want: 5, reached: true},
		"exhausted":               {set: func(r *policy.Retry) { r.MaxRetries = 1 }, fails: 2, want: 2},
		"not asked for":           {set: func(r *policy.Retry) { r.On = other }, fails: 1, want: 1},
		"an override's condition": {set: override(2), fails: 2, want: 3, reached: true},
		"an override's number":    {set: override(4), fails: 4, want: 5, reached: true},
		"no budget": {
			set: func(r *policy.Retry) { r.Budget = policy.Budget{Window: 10 * time.Second} }, fails: math.MaxInt32, connections: 20, want: 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) { tc.set(&s.Retry) }))
			w.dialer.refuse.Store(tc.fails)
			var dials int64
			for range max(tc.connections, 1) {
				reached, n := w.reaches()
				if dials += n; reached != tc.reached {
					t.Errorf("reached %v after %d attempts", reached, n)
				}
			}
			if dials != tc.want {
				t.Errorf("%d attempts, want %d", dials, tc.want)
			}
		})
	}
}

// Connections that began before the budget's window do not count for it.
//
//enforces:opaque retry.budget.window
func TestRule13_OldConnectionsAreNotInTheBudget(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) {
		s.Retry.Budget = policy.Budget{Percent: 20, Window: 20 * time.Millisecond}
	}))
	for range 9 {
		w.reaches()
	}
	(&client{}).pause(50 * time.Millisecond)
	w.dialer.refuse.Store(1)
	if reached, n := w.reaches(); reached || n != 1 {
		t.Errorf("reached %v after %d attempts: one retry of 10 was allowed though the first 9 are long ago", reached, n)
	}
}

// A wait that passes the deadline is not begun (rule 3), so that the number of attempts tells how long waits would have been.
//
//enforces:opaque retry.backoff.strategy retry.backoff.initialInterval retry.backoff.maxInterval retry.backoff.multiplier
//enforces:opaque retry.overrides[].backoff.strategy retry.overrides[].backoff.initialInterval retry.overrides[].backoff.maxInterval
//enforces:opaque retry.overrides[].backoff.multiplier
func TestRule15_WaitsToConnectAgainGrowAsWritten(t *testing.T) {
	for name, tc := range growing {
		for place, put := range placedOn(policy.ConnectFailure) {
			t.Run(name+"/"+place, func(t *testing.T) {
				w := build(t, closedAddress(t), declaredTCP(func(s *policy.Settings) {
					b := tc.backoff
					b.Jitter = policy.JitterNone
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, time.Minute
					put(&s.Retry, b)
				}))
				if _, n := w.reaches(); n != tc.want {
					t.Errorf("%d attempts, want %d", n, tc.want)
				}
			})
		}
	}
}

// Whether a wait fits into the deadline tells how it is drawn.
//
//enforces:opaque retry.backoff.jitter retry.backoff.jitterPercent retry.overrides[].backoff.jitter retry.overrides[].backoff.jitterPercent
func TestRule15_WaitsToConnectAgainAreDrawnAsWritten(t *testing.T) {
	for name, tc := range drawn {
		for place, put := range placedOn(policy.ConnectFailure) {
			t.Run(name+"/"+place, func(t *testing.T) {
				w := build(t, closedAddress(t), declaredTCP(func(s *policy.Settings) {
					b := tc.backoff
					b.Strategy, b.Max = policy.Fixed, b.Initial
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, drawnWithin
					put(&s.Retry, b)
				}))
				again := false
				for range 40 {
					if _, n := w.reaches(); n > 1 {
						again = true
						break
					}
				}
				if again != tc.fits {
					t.Errorf("connecting was attempted again: %v", again)
				}
			})
		}
	}
}

// Another attempt may go to the same endpoint again where the policy says so.
//
//enforces:opaque retry.avoidPreviousEndpoints
func TestConnectingAgainAvoidsEndpointsUnlessWritten(t *testing.T) {
	for name, avoid := range map[string]bool{"avoid": true, "do not": false} {
		t.Run(name, func(t *testing.T) {
			first, second := closedAddress(t), closedAddress(t)
			w := build(t, first)
			w.tcpShop(func(s *policy.Settings) {
				s.Retry.MaxRetries, s.Retry.AvoidPreviousEndpoints = 1, avoid
				s.LoadBalancing = policy.RandomEndpoint
			}, first, second)
			apart := true
			for range 60 {
				w.reaches()
				e := w.seen.lastCall(t)
				apart = apart && len(e.Attempts) == 2 && e.Attempts[0].Peer != e.Attempts[1].Peer
			}
			if apart != avoid {
				t.Errorf("the attempts of each connection went to different endpoints: %v, want %v", apart, avoid)
			}
		})
	}
}

// tcpShop is shop for connections without calls.
func (w *testProxy) tcpShop(change func(*policy.Settings), endpoints ...netip.AddrPort) {
	w.t.Helper()
	w.shopOf(policy.ProtocolTCP, change, endpoints...)
}

// A connection that is passed through is one call, which ends when its server is connected to, or cannot be.
func TestAPassedConnectionIsReportedAsACall(t *testing.T) {
	for name, tc := range map[string]struct {
		fails    int64
		outcome  call.Kind
		decision call.RetryDecision
		attempts []routes.Attempt
	}{
		"connected": {0, call.OK, call.NotNeeded, []routes.Attempt{{}}},
		"at last": {1, call.OK, call.Recovered, []routes.Attempt{
			{Kind: call.ConnectFailed, Detail: routes.DetailRefused}, {Start: call.Retry},
		}},
		"not at all": {9, call.ConnectFailed, call.Exhausted, []routes.Attempt{
			{Kind: call.ConnectFailed, Detail: routes.DetailRefused}, {Kind: call.ConnectFailed, Start: call.Retry, Detail: routes.DetailRefused},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), declaredTCP(func(s *policy.Settings) { s.Retry.MaxRetries = 1 }))
			w.dialer.refuse.Store(tc.fails)
			w.reaches()
			e := w.seen.lastCall(t)
			if e.Outcome.Kind != tc.outcome || e.Outcome.Decision != tc.decision || e.Outcome.Status != tc.outcome.Status() {
				t.Errorf("outcome %+v", e.Outcome)
			}
			if len(e.Attempts) != len(tc.attempts) {
				t.Fatalf("attempts %+v", e.Attempts)
			}
			for i, got := range e.Attempts {
				want := tc.attempts[i]
				want.Took, want.Peer = got.Took, w.original
				if got != want {
					t.Errorf("attempt %d: %+v, want %+v", i, got, want)
				}
			}
		})
	}
}
