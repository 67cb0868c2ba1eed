package soak

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// silence is an address where nobody answers, not even that nobody is there.
var silence = netip.MustParseAddrPort("192.0.2.1:80")

// waitInVain is an attempt to connect to it.
func (r *round) waitInVain(ctx context.Context) error {
	from := time.Now()
	<-ctx.Done()
	r.accountsMu.Lock()
	defer r.accountsMu.Unlock()
	r.dials = append(r.dials, span{from, time.Now()})
	return context.Cause(ctx)
}

// drawStageBounds draws what ends stages of calls that make no progress.
func drawStageBounds(rng *rand.Rand, variant int, t *policy.Timeouts) {
	bound := func() time.Duration { return oneOf(rng, 0, between(rng, 60*time.Millisecond, 250*time.Millisecond)) }
	short := between(rng, 60*time.Millisecond, 100*time.Millisecond)
	t.Connect = between(rng, 30*time.Millisecond, 150*time.Millisecond)
	if rng.IntN(2) == 0 {
		variant = -1
	}
	switch stage := rng.IntN(4); {
	case variant == 0:
		t.Write = short
	case variant == 1:
		t.MaxDuration = 2 * short
	case variant == 2:
		t.Read = short
	case stage == 0:
		t.Idle = bound()
	case stage == 1:
		t.MaxDuration = oneOf(rng, 0, between(rng, 150*time.Millisecond, 400*time.Millisecond))
	default:
		t.Read, t.Write = bound(), bound()
	}
}

// linger has the server make no progress for some time, in one of the stages: for long in the one that a variant bounds.
func (p *step) linger(rng *rand.Rand, variant int) {
	p.pieces = 2
	long, stage := between(rng, 10*time.Millisecond, 500*time.Millisecond), rng.IntN(4)
	if variant < 3 && rng.IntN(2) == 0 {
		long, stage = 500*time.Millisecond, min(variant, 1)
	}
	switch stage {
	case 0:
		p.deaf = long
	case 1, 2:
		p.stall, p.size = long, 2+rng.IntN(20_000)
	}
}

// checkDials: who waits for an answer to connecting does so as long as the policy says, and not longer.
func (r *round) checkDials() {
	for _, d := range r.dials {
		var longest time.Duration
		for _, v := range r.versions {
			if v.from.Before(d.to) && (v.until.IsZero() || v.until.After(d.from)) {
				longest = max(longest, v.settings.Timeouts.Connect, v.ruled.Timeouts.Connect)
			}
		}
		r.covers("connecting had to end")
		if took, slack := d.to.Sub(d.from), r.slack(d.from, d.to); took > longest+slack {
			r.suspicion("connecting went on for %v, it is to for %v, and may be late by %v", took, longest, slack)
		}
	}
}

// checkStages: a request's body, and a response's, that makes no progress is given up after the time that it has, and no other is.
func (r *round) checkStages(a *account, t *policy.Timeouts) {
	if len(a.receipts) != 1 {
		return
	}
	p, slack := a.receipts[0], r.slack(a.begun, a.ended)
	if m := t.MaxDuration; m > 0 {
		r.checkMaxDuration(a, m, slack)
		return
	}
	read, write := shorter(t.Read, t.Idle), shorter(t.Write, t.Idle)
	deaf, stall := p.heard.Sub(p.at), p.resumed.Sub(p.stalled)
	if p.stalled.IsZero() {
		stall = 0
	}
	fits := a.carried() < windowSize/4
	mayWrite := write > 0 && !fits && p.step.deaf+slack > write || t.Idle > 0 && p.step.deaf+p.step.late+slack > t.Idle
	// Its server is deaf for less when it is given up, of which it hears.
	mustWrite := write > 0 && a.carried() > 2*windowSize && p.step.deaf > write+slack
	switch {
	case a.reason == "per_try_timeout" && !mayWrite:
		r.doubt(a, "it was given up, and its server did not read for %v, it has %v", deaf, write)
	case mustWrite && deaf > write+slack && a.reason != "per_try_timeout":
		r.doubt(a, "its server did not read for %v, and it was not given up after %v", deaf, write)
	case mustWrite && a.reason == "per_try_timeout":
		r.covers("a request had to be given up")
		r.checkWhen(a, "the request", a.head.Sub(a.begun), write, write+slack) // it made progress until the buffers on the way were full
	case a.reason != "":
	case read > 0 && stall > read+slack:
		if r.covers("a response had to be given up"); a.whole {
			r.doubt(a, "its response stopped for %v, and was not given up after %v", stall, read)
		}
		r.checkWhen(a, "the response", a.ended.Sub(p.stalled), read, slack)
	case (read == 0 || stall+slack < read) && !mayWrite:
		if r.covers("a response had to be waited for"); !a.whole {
			r.doubt(a, "its response stopped for %v, and was given up, which is to be after %v: %v", stall, read, a.err)
		}
	}
}

// checkWhen: what was given up was so after the time that it had.
func (r *round) checkWhen(a *account, what string, took, limit, slack time.Duration) {
	if took < limit {
		r.blame(a, "%s was given up after %v, it has %v", what, took, limit)
	}
	if took > limit+slack {
		r.doubt(a, "%s was given up after %v, it has %v, and may be late by %v", what, took, limit, slack)
	}
}

// checkMaxDuration: an exchange that lasts longer is cut then, and not before.
func (r *round) checkMaxDuration(a *account, most, slack time.Duration) {
	took := a.ended.Sub(a.begun)
	if whole := a.whole && a.reason == ""; !whole {
		r.covers("an exchange had to end")
		r.checkWhen(a, "the exchange", took, most, slack)
	} else if took > most+slack {
		r.doubt(a, "the exchange went on for %v, it is to for %v", took, most)
	}
}
