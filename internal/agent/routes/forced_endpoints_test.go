package routes

import (
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// Where each endpoint has a breaker of its own, what is opened by hand is open as a whole, and what is closed keeps every endpoint in.
func TestWhatIsForcedHoldsWhereEndpointsHaveBreakers(t *testing.T) {
	forced := func(open bool, until time.Time) policy.Binding {
		b := withBreaker(policy.ShareNode)
		b.Base.Breaker.Scope, b.Base.Breaker.MaxEjectedPercent = policy.ScopeEndpoint, 100
		if !until.IsZero() {
			b.ForcedBreaker = policy.ForcedBreaker{Open: open, Until: until.Unix()}
		}
		return b
	}
	s, hour := newTable(t), time.Now().Add(time.Hour)
	plan := func() *Plan { return routeTo(t, s, "a", "10.96.0.7:80").Plan(nil, nil) }
	fail := func() (out int) {
		t.Helper()
		ep := plan().Endpoints.Of(netip.MustParseAddrPort("10.1.0.1:8080"))
		if br, p, ok := ep.Allow(time.Now()); ok {
			br.Done(time.Now(), p, resilience.Result{Failed: true})
		}
		return plan().Endpoints.Out()
	}
	install(t, s, snapshot(forced(false, time.Time{})))
	if plan().Breaker != nil || fail() != 1 {
		t.Fatal("the endpoint that fails is not out")
	}
	install(t, s, snapshot(forced(false, hour)))
	if plan().Endpoints.Out() != 0 || fail() != 0 {
		t.Error("an endpoint is out though breakers are to stay closed")
	}
	install(t, s, snapshot(forced(true, hour)))
	if _, ok := plan().Breaker.Allow(time.Now()); ok {
		t.Error("a call passes though breakers are to be open")
	}
	install(t, s, snapshot(forced(false, time.Time{})))
	if plan().Breaker != nil || fail() != 1 {
		t.Error("endpoints do not go by what is seen again")
	}
}
