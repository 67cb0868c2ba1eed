package call

import (
	"math/bits"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// attempt is what a Call knows of one attempt.
type attempt struct {
	placed bool // it has left the pool's queue
	sent   bool // the kernel accepted bytes of its request, or a byte of a response proves it
	// answered: its response is being held back (AwaitTrailers); status is that of its head.
	answered bool
	pending  bool // its response says in its trailers how it ends
	probed   bool // it was a probe, whose result was given before its end
	hedged   bool // it was started beside others
	number   int  // of attempts that were started so far, it included
	after    Kind // how the one before it ended; see Call.Attempt
	fallback bool // it is on the fallback's route
	status   int
	limit    Limit
	until    offset        // its deadline
	perTry   time.Duration // how long its clock may run, as of when it was placed; 0: there is no limit
	// Its clock (rule 2): it has run for spent, and since running; never: it stands.
	spent   time.Duration
	running offset
	begun   offset // when it was started, if it is a hedge
	permit  resilience.Permit
	breaker *resilience.Breaker // that the permit is of
	// A fault holds it up, until release; late: one has. The rest is how it starts, or ends, then.
	held, late   bool
	beside       bool // see Call.Beside
	avoid, fresh bool
	start        Start
	abort        policy.FaultAbort
	release      offset
}

// start has the driver start an attempt that has a permit, unless a fault meets it.
func (c *Call) start(now time.Time, p resilience.Permit, a Action) Action {
	for (c.live | c.kept).Has(c.next) {
		c.next = (c.next + 1) % MaxAttempts
	}
	a.Do, a.Attempt, a.Route = StartAttempt, c.next, c.route
	c.next = (c.next + 1) % MaxAttempts
	t := &c.attempts[a.Attempt] // filled in place: another on the stack would make that large
	*t = attempt{}
	t.permit, t.breaker, t.until, t.limit, t.running = p, c.plan.Breaker, c.deadline, c.deadlineLimit, never
	t.hedged, t.fallback = a.Start == Hedged, c.route != 0
	c.live |= SetOf(a.Attempt)
	c.phase = trying
	c.count++
	c.attempts[a.Attempt].number, c.attempts[a.Attempt].after = c.count, c.last
	c.attempts[a.Attempt].beside = c.live != SetOf(a.Attempt) && c.hasOthers(a.Attempt)
	if a.Start == Hedged {
		c.attempts[a.Attempt].begun = c.offsetOf(now)
	}
	if c.Observer != nil {
		c.observeStart(now, a.Attempt, a.Start)
	}
	if c.plan.Faults.strikes(now, c.plan.Random) {
		return c.strike(now, a)
	}
	a.Until = c.timeOf(c.horizon())
	return a
}

// attempt returns an attempt that is under way, or nil.
func (c *Call) attempt(id AttemptID) *attempt {
	if id >= MaxAttempts || !c.live.Has(id) {
		return nil
	}
	return &c.attempts[id]
}

func (c *Call) place(now time.Time, id AttemptID, at netip.AddrPort) Action {
	t := c.attempt(id)
	if t == nil || t.placed {
		return c.carryOn()
	}
	c.endpoints = append(c.endpoints, at)
	t.placed, t.running = true, c.offsetOf(now)
	t.until, t.limit = c.deadline, c.deadlineLimit
	var limit Limit
	t.perTry, limit = c.perTry()
	t.bound(after(t.running-t.spent, t.perTry), limit)
	if !c.request.HasBody || t.hedged { // else it is armed when the body has been sent
		c.armHedge(t.running)
	}
	c.note(now, Placed, id)
	return c.carryOn()
}

// armHedge has another attempt start beside those under way, if nothing is heard of them from a time on. While the request is on its way there is nothing
// that could be sent again; see hedgesAt.
func (c *Call) armHedge(from offset) {
	if h := &c.plan.Hedge; c.hedgeAt == never && c.hedges < h.Max && (!c.request.HasBody || c.whole) {
		c.hedgeAt = after(from, h.Delay())
	}
}

func (c *Call) sending(now time.Time, id AttemptID) Action {
	if t := c.attempt(id); t != nil && t.placed && !t.answered {
		t.stop(c.offsetOf(now))
		t.until, t.limit = c.deadline, c.deadlineLimit
	}
	return c.carryOn()
}

func (c *Call) requestWritten(now time.Time, id AttemptID) Action {
	if t := c.attempt(id); t != nil && t.placed && !t.answered {
		written := c.offsetOf(now)
		t.running = min(t.running, written)
		t.until, t.limit = c.deadline, c.deadlineLimit
		if t.perTry > 0 {
			_, limit := c.perTry()
			t.bound(t.running+t.perTry-t.spent, limit)
		}
		t.bound(after(written, c.plan.Settings.Timeouts.ResponseHeader), LimitResponseHeader)
		if c.request.HasBody { // else it has been armed
			c.armHedge(written)
		}
		c.note(now, Sent, id)
	}
	return c.carryOn()
}

// bytesAccepted notes that an attempt was sent. A body that is not kept cannot be sent again after that.
func (c *Call) bytesAccepted(id AttemptID) {
	if t := c.attempt(id); t != nil {
		t.sent = true
		c.lost = c.lost || c.request.HasBody && !c.replays
	}
}

// perTry is how long an attempt may take that is placed now (0: for ever), and which limit that is.
func (c *Call) perTry() (time.Duration, Limit) {
	if a := c.plan.Adaptive; a != nil {
		return a.Limit(), LimitAdaptive
	}
	return c.plan.Settings.Timeouts.PerTry, LimitPerTry
}

// tookAsLong tells the instruments how long an attempt took that succeeds with the head of its response. One that is answered before its request was
// sent whole says nothing.
func (c *Call) tookAsLong(now time.Time, t *attempt) {
	if !t.answered && t.running == never {
		return
	}
	took := t.took(c.offsetOf(now))
	if a := c.plan.Adaptive; a != nil && !c.plan.Alike.Adaptive {
		a.Succeeded(took)
	}
	if l := c.plan.Hedge.Latency; l != nil && !c.plan.Alike.Latency {
		l.Took(took)
	}
}

// tookTooLong tells the instruments of an attempt that time has ended.
func (c *Call) tookTooLong(now time.Time, t *attempt) {
	if a := c.plan.Adaptive; a != nil && !c.plan.Alike.Adaptive && t.limit == LimitAdaptive && c.passed(t.until, now) {
		a.Exceeded()
	}
	c.wasGivenUp(now, t)
}

// wasGivenUp tells that an attempt is not waited for any longer.
func (c *Call) wasGivenUp(now time.Time, t *attempt) {
	if l := c.plan.Hedge.Latency; l != nil && !c.plan.Alike.Latency && t.placed && !t.answered {
		l.TookLonger(t.took(c.offsetOf(now)))
	}
}

// forwardedInterim decides for the attempt whose response went to the client in part.
func (c *Call) forwardedInterim(now time.Time, id AttemptID) Action {
	t := c.attempt(id)
	if t == nil {
		return c.carryOn()
	}
	c.bytesAccepted(id)
	c.interim = true
	c.note(now, Interim, id)
	others := c.dismissLive(now, SetOf(id))
	a := c.carryOn()
	a.Cancel = others
	return a
}

// bound has the attempt end at m, if something else does not end it sooner.
func (t *attempt) bound(m offset, l Limit) {
	if m < t.until {
		t.until, t.limit = m, l
	}
}

// stop has the clock stand.
func (t *attempt) stop(now offset) { t.spent, t.running = t.took(now), never }

// took is how long the clock has run.
func (t *attempt) took(now offset) time.Duration {
	if t.running == never {
		return t.spent
	}
	return t.spent + now - t.running
}

// beingSent reports whether the request is on its way in the attempt.
func (t *attempt) beingSent() bool { return t.placed && t.running == never && !t.answered }

// hedgesAt is when the next hedge starts: never while an attempt is being sent, which whoever sends it does with what a hedge would need, or placed
// that a fault has held up.
func (c *Call) hedgesAt() offset {
	if c.hedgeAt == never {
		return never
	}
	for s := c.live; s != 0; s &= s - 1 {
		if t := &c.attempts[bits.TrailingZeros8(uint8(s))]; t.beingSent() || t.late && !t.placed {
			return never
		}
	}
	return c.hedgeAt
}

// horizon is when the first of the attempts under way is overdue, or gets another beside it.
func (c *Call) horizon() offset {
	until := c.hedgesAt()
	for s := c.live; s != 0; s &= s - 1 {
		if t := &c.attempts[bits.TrailingZeros8(uint8(s))]; t.held {
			until = min(until, c.heldUntil())
		} else {
			until = min(until, t.until)
		}
	}
	return until
}

// overdue returns an attempt whose time is up.
func (c *Call) overdue(now time.Time) (AttemptID, bool) {
	for id := range c.live.All() {
		if c.passed(c.attempts[id].until, now) {
			return id, true
		}
	}
	return 0, false
}

// admitted asks the breaker for a permit.
func (c *Call) admitted(now time.Time) (resilience.Permit, bool) {
	if c.plan.Breaker == nil {
		return resilience.Permit{}, true
	}
	p, ok := c.plan.Breaker.Allow(now)
	if c.Observer != nil {
		c.observeBreaker(now, p.Probe(), ok)
	}
	return p, ok
}

// hold has an attempt hold another permit than it did.
func (c *Call) hold(id AttemptID, b *resilience.Breaker, p resilience.Permit) {
	t := c.attempt(id)
	if t == nil {
		t = &attempt{}
	}
	c.giveBack(t)
	if t.breaker, t.permit = b, p; !c.live.Has(id) { // nobody will ask about it any more
		c.giveBack(t)
	}
}

// returnPermit gives an attempt's permit back with its result.
func (c *Call) returnPermit(now time.Time, t *attempt, failed bool) {
	c.giveBackWith(now, t, resilience.Result{Failed: failed, Took: t.took(c.offsetOf(now)), Shard: c.shard})
}

func (c *Call) giveBackWith(now time.Time, t *attempt, r resilience.Result) {
	if t.permit.Held() {
		t.breaker.Done(now, t.permit, r)
		t.permit = resilience.Permit{}
	}
}

// giveBack gives an attempt's permit back without a result, if it is still held.
func (c *Call) giveBack(t *attempt) {
	if t.permit.Held() {
		t.breaker.Cancel(t.permit)
		t.permit = resilience.Permit{}
	}
}

// giveUp gives an attempt's permit back because nobody waits for it any more. One that has already exceeded the threshold for slow
// calls is still recorded as slow; otherwise clients that give up would hide it from the breaker (rule 4).
func (c *Call) giveUp(now time.Time, t *attempt) {
	b := c.plan.Settings.Breaker
	if took := t.took(c.offsetOf(now)); t.permit.Held() && b.SlowCalls != nil && took > b.SlowCalls.Threshold {
		c.giveBackWith(now, t, resilience.Result{GivenUp: true, Took: took, Shard: c.shard})
	}
	c.giveBack(t)
}

// dismiss gives up whatever the driver holds, and returns it.
func (c *Call) dismiss(now time.Time) AttemptSet {
	all := c.dismissLive(now, 0) | c.kept
	c.kept = 0
	return all
}

// dismissLive gives up the attempts under way but for some, and returns them.
func (c *Call) dismissLive(now time.Time, except AttemptSet) AttemptSet {
	others := c.live &^ except
	for id := range others.All() {
		c.reached = c.reached || c.attempts[id].placed // the driver tells only of those that end by themselves whether they were sent
		c.wasGivenUp(now, &c.attempts[id])
		c.giveUp(now, &c.attempts[id])
		c.note(now, Dismissed, id)
	}
	c.live &= except
	c.hedgeAt = never
	return others
}

// cutShort reports whether an attempt that the overall deadline ended counts as a per-attempt timeout for the breaker: only the first
// attempt of a call, while the upstream was being waited for, and if the deadline is not the client's own.
func (c *Call) cutShort(t *attempt) bool {
	b := c.plan.Settings.Breaker
	return b != nil && b.FailureOn.Has(policy.PerTryTimeout) && c.count == 1 && c.deadlineLimit != LimitClient && t.running != never
}
