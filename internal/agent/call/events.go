package call

import (
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// Begin starts a call whose request head has just been read.
func (c *Call) Begin(now time.Time, p *Plan, r Request) Action {
	a := c.begin(now, p, r)
	if p.Shadow != nil {
		c.beginShadow(now, a, p.Shadow, r)
	}
	return a
}

// Woken tells that the call was woken at the gate where it is parked.
func (c *Call) Woken(now time.Time) Action {
	s := c.follower(now)
	a := c.woken(now)
	switch {
	case s == nil:
	case s.phase == entering:
		c.compareEntry(now, a)
	default:
		c.compare(now, a, s.woken(now))
	}
	return a
}

// Placed tells that an attempt has left the pool's queue, and for which endpoint. Its clock begins to run: connecting belongs to
// it (rule 2).
func (c *Call) Placed(now time.Time, id AttemptID, at netip.AddrPort) Action {
	s := c.follower(now)
	a := c.place(now, id, at)
	if s != nil {
		c.compare(now, a, s.place(now, id, at))
	}
	return a
}

// EndpointJudge is what judges the endpoints that the call's attempts may go to; nil: nobody does.
func (c *Call) EndpointJudge() *resilience.Endpoints { return c.plan.Endpoints }

// Hold tells that an attempt, which is about to be placed or has just been, has the permit of its endpoint's breaker. It takes the place of the one
// that it had: that goes back without a result. The zero Permit is none.
func (c *Call) Hold(id AttemptID, b *resilience.Breaker, p resilience.Permit) { c.hold(id, b, p) }

// Reached tells to which endpoint an attempt's connection has been made, which may be another one than it was placed for: that was slower. A retry
// avoids both.
func (c *Call) Reached(id AttemptID, at netip.AddrPort) {
	if t := c.attempt(id); t != nil && t.placed && !slices.Contains(c.endpoints, at) {
		c.endpoints = append(c.endpoints, at)
	}
}

// Sending tells that there is a connection and the request is being sent, or sent on: the attempt's clock stands until
// RequestWritten, for what is waited for may be the client (rule 2). An attempt for which it is never reported is one long wait.
func (c *Call) Sending(now time.Time, id AttemptID) Action {
	s := c.follower(now)
	a := c.sending(now, id)
	if s != nil {
		c.compare(now, a, s.sending(now, id))
	}
	return a
}

// BytesAccepted tells that the kernel has accepted at least one byte of an attempt's request on its connection. Nothing else
// makes it count as sent but a response, so it must be reported before the event that ends the attempt, Timer included.
func (c *Call) BytesAccepted(id AttemptID) {
	c.bytesAccepted(id)
	if c.shadowed {
		c.shadow.bytesAccepted(id)
	}
}

// RequestWritten tells that the kernel has accepted the last byte of the request, or of the part that the client has sent so far
// while it waits for 100 (Continue). The attempt's clock runs again.
func (c *Call) RequestWritten(now time.Time, id AttemptID) Action {
	s := c.follower(now)
	a := c.requestWritten(now, id)
	if s != nil {
		c.compare(now, a, s.requestWritten(now, id))
	}
	return a
}

// BodyOverflowed tells that the request body, or a part of it, cannot be sent again (rule 18).
func (c *Call) BodyOverflowed() {
	c.lost = true
	if c.shadowed && (c.replays || !c.shadow.replays) { // else it would have been kept, were the shadow obeyed
		c.shadow.lost = true
	}
}

// BodyKept tells that the request's body has come to its end and is kept as a whole, so that it can be sent beside an attempt under way. It is
// reported before RequestWritten.
func (c *Call) BodyKept() {
	c.whole = true
	if c.shadowed {
		c.shadow.whole = true
	}
}

// Unplaced tells that there is no place for a hedge: it is given up, and nothing has happened. What follows is up to the other attempts, as far as they are
// still under way.
func (c *Call) Unplaced(now time.Time, id AttemptID) Action {
	s := c.follower(now)
	a := c.unplaced(now, id)
	if s != nil {
		c.compare(now, a, s.unplaced(now, id))
	}
	return a
}

// Interim tells that a 1xx response other than 100 goes to the client: nothing is retried after it (rule 11).
func (c *Call) Interim(now time.Time, id AttemptID) Action {
	s := c.follower(now)
	a := c.forwardedInterim(now, id)
	if s != nil {
		c.compare(now, a, s.forwardedInterim(now, id))
	}
	return a
}

// ResponseHead tells of a final response head (101 is one). For a response that is held back it tells that its trailers have come before any
// message: it is as if the head had said what they say.
func (c *Call) ResponseHead(now time.Time, id AttemptID, r Response) Action {
	s := c.follower(now)
	a := c.responseHead(now, id, &r, c.worthAwaiting(id, &r))
	if s != nil { // which cannot wait for what the driver does not
		r.HeaderMatched = r.ShadowHeaderMatched
		c.compare(now, a, s.responseHead(now, id, &r, a.Do == AwaitTrailers))
	}
	return a
}

// MessageBegun tells that something of a response that is held back is there besides its head and trailers, or that it cannot be held any
// longer.
func (c *Call) MessageBegun(now time.Time, id AttemptID) Action {
	s := c.follower(now)
	a := c.messageBegun(now, id)
	if s != nil {
		c.compare(now, a, s.messageBegun(now, id))
	}
	return a
}

// KeptLost tells that the response kept cannot be forwarded any more, and has been dropped: its place was needed for the next
// attempt.
func (c *Call) KeptLost() {
	c.kept = 0
	if c.shadowed {
		c.shadow.kept = 0
	}
}

// AttemptFailed tells that an attempt ended without a response; its connection or stream is gone. One in which its deadline passed
// is reported as an AttemptTimeout, whichever limit it was.
func (c *Call) AttemptFailed(now time.Time, id AttemptID, f Failure) Action {
	s := c.follower(now)
	a := c.attemptFailed(now, id, &f)
	if s != nil {
		c.compare(now, a, s.attemptFailed(now, id, &f))
	}
	return a
}

// LocalReject tells that the agent itself refused an attempt before it was placed: kind is Overflow, RateLimited or
// Internal. It is never retried and never an upstream failure (rule 12).
func (c *Call) LocalReject(now time.Time, id AttemptID, kind Kind) Action {
	s := c.follower(now)
	a := c.localReject(now, id, kind)
	if s != nil {
		c.compare(now, a, s.localReject(now, id, kind))
	}
	return a
}

// Timer tells that Until has come. For an attempt that is overdue the driver may report AttemptFailed with Kind AttemptTimeout
// instead, when it has let go of it by itself.
func (c *Call) Timer(now time.Time) Action {
	s := c.follower(now)
	a := c.timer(now)
	switch {
	case s == nil:
	case s.phase == entering:
		c.compareEntry(now, a)
	default:
		c.compare(now, a, s.timer(now))
	}
	return a
}

// ClientGone tells that the client closed or reset its side (rule 4).
func (c *Call) ClientGone(now time.Time) Action {
	s := c.follower(now)
	a := c.clientGone(now)
	if s != nil {
		c.compare(now, a, s.clientGone(now))
	}
	return a
}

// Finished tells how the forwarding of an attempt's response ended, which decides what waited for it, and returns the final outcome.
func (c *Call) Finished(now time.Time, id AttemptID, e End) Outcome {
	if c.shadowed {
		c.finishShadow(now, id, &e)
	}
	c.finished(now, id, &e)
	return c.outcome
}
