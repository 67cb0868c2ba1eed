package h1

import (
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// The first look at an attempt comes when its time is up, of which connecting has taken a part: the request is sent in front of the wait, whose end is set before
// it is known when that was.
func TestRule02_TheFirstLookComesInTime(t *testing.T) {
	for connecting, want := range map[time.Duration]time.Duration{
		0: 40 * time.Millisecond, 30 * time.Millisecond: 10 * time.Millisecond, 39900 * time.Microsecond: shortestLook,
	} {
		settings := policy.Defaults()
		settings.Timeouts.PerTry = 40 * time.Millisecond
		x := newExchange(New(Options{}))
		x.reset()
		x.Plan = &routes.Plan{Plan: call.Plan{Settings: &settings, Random: func() float64 { return 0 }}}
		begun := time.Now()
		a := x.Call.Begin(begun, &x.Plan.Plan, call.Request{})
		x.cur.ID = a.Attempt
		x.Call.Placed(begun, a.Attempt, netip.MustParseAddrPort("10.0.0.1:80"))
		x.Call.Sending(begun.Add(connecting), a.Attempt)
		if look := x.firstWait(); look != want {
			t.Errorf("connecting took %v: it is looked after %v, want %v", connecting, look, want)
		}
	}
}
