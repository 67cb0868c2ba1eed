package soak

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// tolerance is what a deadline may be missed by on a machine that is not late itself.
const tolerance = 20 * time.Millisecond

// bounds are the shortest and the longest of a limit in the policies that may have governed a call; longest 0: one of them has none.
func bounds(may []*version, limit func(*policy.Timeouts) time.Duration) (shortest, longest time.Duration) {
	unbounded := false
	for _, v := range may {
		d := limit(&v.settings.Timeouts)
		if unbounded = unbounded || d == 0; d == 0 {
			continue
		}
		longest = max(longest, d)
		if shortest == 0 || d < shortest {
			shortest = d
		}
	}
	if unbounded {
		longest = 0
	}
	return shortest, longest
}

func overall(t *policy.Timeouts) time.Duration { return t.Overall }

// attemptLimit is how long a server may take at most to answer an attempt; 0: as long as it likes.
func attemptLimit(t *policy.Timeouts) time.Duration {
	return shorter(t.AttemptLimit(), t.ResponseHeader)
}

// shortestLimit is how long it may take at least.
func shortestLimit(t *policy.Timeouts) time.Duration {
	if t.Adaptive.On() {
		return shorter(t.Adaptive.Min, t.ResponseHeader)
	}
	return attemptLimit(t)
}

// limitsAttempts reports whether a policy has attempts end by themselves, after which others may follow.
func limitsAttempts(v *version) bool {
	return shortestLimit(&v.settings.Timeouts) > 0
}

// shorter is the shorter of two limits, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// checkDeadline: the head of an answer has come by the overall deadline, or the call has ended without one.
func (r *round) checkDeadline(a *account, may []*version) {
	_, longest := bounds(may, overall)
	if longest == 0 || a.sent.IsZero() {
		return
	}
	came := a.head
	if came.IsZero() {
		came = a.ended
	}
	took, late := came.Sub(a.sent), r.lag.during(a.sent, came)
	if took > longest-tolerance {
		r.covers("a deadline had to end a call")
	}
	if took > longest+tolerance+late {
		r.doubt(a, "its answer or its end (%d %s) came %v after its head, the deadline is %v, the machine was late by %v", a.status, a.reason, took, longest, late)
	}
}

// checkEarly: the agent does not answer that a time has passed before it has. The deadline is met early only by a backoff that would pass it (rule 3).
func (r *round) checkEarly(a *account, may []*version) {
	var (
		shortest time.Duration
		backoff  time.Duration
	)
	if r.fixed.kind == kindTimeouts { // which has other bounds too: see checkStages
		return
	}
	switch a.reason {
	case "deadline":
		shortest, _ = bounds(may, overall)
		for _, v := range may {
			if mostRetries(&v.settings.Retry) > 0 {
				backoff = max(backoff, longestBackoff(&v.settings.Retry))
			}
		}
	case "per_try_timeout":
		shortest, _ = bounds(may, shortestLimit)
	default:
		return
	}
	if took := a.head.Sub(a.begun); took < shortest-backoff {
		r.blame(a, "the agent answered %q after %v, which are to be %v", a.reason, took, shortest)
	}
}

// checkAttemptTime: an attempt whose response came was answered in the time that attempts have, which begins when their request has been sent at the latest.
func (r *round) checkAttemptTime(a *account, may []*version) {
	_, longest := bounds(may, attemptLimit)
	if longest == 0 {
		return
	}
	for _, p := range a.receipts {
		if p.attempt != a.answer || p.read.IsZero() {
			continue
		}
		took, late := p.answers.Sub(p.read), r.lag.during(p.read, p.answers)
		r.covers("an attempt had to be in time")
		if took > longest+tolerance+late {
			r.doubt(a, "attempt %d was answered %v after its request, attempts have %v, the machine was late by %v", p.attempt, took, longest, late)
		}
	}
}
