package soak

import (
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// drawForced draws what somebody has said by hand, and leaves that alone until its end has been seen.
func (r *round) drawForced(rng *rand.Rand) policy.ForcedBreaker {
	if n := len(r.versions); n > 0 && r.versions[n-1].forced.Set() && time.Until(r.versions[n-1].forced.End()) > -500*time.Millisecond {
		return r.versions[n-1].forced
	}
	if len(r.versions) == 0 && r.fixed.variant < 2 { // so that some is over before the round is
		return policy.ForcedBreaker{Open: r.fixed.variant == 0, Until: time.Now().Unix() + 1}
	}
	if rng.IntN(4) == 0 {
		return policy.ForcedBreaker{}
	}
	return policy.ForcedBreaker{Open: rng.IntN(2) == 0, Until: time.Now().Unix() + 1 + rng.Int64N(2)}
}

// soon is how long the agent's clock and that of the accounts may differ by rounding.
const soon = 2 * time.Millisecond

// checkForced: a circuit that is kept open by hand rejects each call, and one that is kept closed none, until the time that was said and no longer.
func (r *round) checkForced(a *account, v *version) {
	rejected := a.reason == "circuit_open" || a.backup && len(a.receipts) == 0
	end := v.forced.End()
	switch {
	case !v.forced.Set():
	case a.ended.Before(end.Add(-soon)) && v.forced.Open:
		if r.covers("a circuit had to be open by hand"); !rejected || len(a.receipts) > 0 {
			r.blame(a, "it passed, %v before the end of the time in which the circuit is kept open", end.Sub(a.ended))
		}
	case a.ended.Before(end.Add(-soon)):
		if r.covers("a circuit had to be closed by hand"); rejected {
			r.blame(a, "it was rejected, %v before the end of the time in which the circuit is kept closed", end.Sub(a.ended))
		}
	case v.forced.Open && a.begun.After(end.Add(soon)) && r.fixed.breaker == nil:
		if r.covers("a circuit had to be open by hand no longer"); rejected {
			r.blame(a, "it was rejected, %v after the end of the time in which the circuit is kept open", a.begun.Sub(end))
		}
	}
}
