package call

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// Call is one call's life. The zero Call is ready for Begin; a Call is used again for the next call by another Begin, and
// belongs to one goroutine at a time.
//
// The driver reports what happens and obeys the Action that it gets back. An attempt is over when it was reported failed or
// refused, or when an Action cancelled it; a response ends it too, unless it is to be forwarded or held back. What is reported of an attempt that
// is over, or that comes twice, has no effect. After Forward and ForwardKept only Finished is reported, exactly once; after Respond,
// Reject and Abort nothing.
type Call struct {
	// OnWake is what gates call to have Woken reported, from any goroutine; nil in a driver whose plans have no gates.
	OnWake func()
	// Observer gets every step of the call; nil: nobody wants to see them.
	Observer Observer

	life
	attempts  [MaxAttempts]attempt // those in live and kept are valid
	endpoints []netip.AddrPort
	waiters   []resilience.Waiter
	shard     uint8 // for the instruments; 0: not drawn yet

	shadow     *Call
	divergence Divergence
}

// phase is where a call stands.
type phase uint8

const (
	ended      phase = iota // also before the first Begin
	forwarding              // ended but for the response's body
	entering                // at a gate
	trying                  // attempts are under way
	waiting                 // between attempts
)

// life is what a Call knows of the call that it serves now.
type life struct {
	plan    *Plan // the fallback's, once that has begun
	own     *Plan
	request Request

	started       time.Time
	deadline      offset
	deadlineLimit Limit  // whose end the deadline is
	until         offset // the end of the wait at a gate or between attempts
	hedgeAt       offset // when the next hedge starts
	entered       offset // when the last gate was passed

	drawn  time.Duration // last backoff drawn
	last   Kind          // how the last attempt ended, or what refused it
	status int           // of the last real response; 0: none
	grpc   int           // its gRPC status, or -1
	reset  int           // Failure.GRPCStatus of the last attempt

	phase     phase
	live      AttemptSet // under way
	kept      AttemptSet // the one whose response the driver keeps, if it keeps one
	next      AttemptID
	answering AttemptID // whose response is forwarded
	route     uint8

	gates    int  // how many were passed
	asked    bool // the next one was asked, and did not refuse
	parked   bool
	count    int // of attempts started
	retries  int // that count against maxRetries, hedges included
	hedges   int
	without  without
	replays  bool // a request body is worth keeping
	lost     bool // the request body cannot be sent again
	reached  bool // a server may have processed the request
	interim  bool // a response other than 100 went to the client before the final one
	repaired bool // the free retry of rule 8 was used
	whole    bool // the request's body is in memory to its end
	shadowed bool // the shadow decides the same so far
	diverged bool // it does no more: divergence is valid

	refusal  Refusal
	faults   FaultCounts
	injected injected // the last one
	outcome  Outcome
}

func (c *Call) begin(now time.Time, p *Plan, r Request) Action {
	c.open(now, p, r)
	return c.enter(now)
}

// open starts a call that has come to no gate yet.
func (c *Call) open(now time.Time, p *Plan, r Request) {
	c.life = life{}
	c.plan, c.own, c.request, c.phase = p, p, r, entering
	c.started, c.deadline, c.hedgeAt, c.grpc = now, never, never, -1
	c.endpoints = c.endpoints[:0]
	if c.shard == 0 {
		c.shard = 1 + uint8(p.Random()*255)
	}
	t := &p.Settings.Timeouts
	c.bound(after(0, t.Overall), LimitOverall)
	c.bound(after(0, r.Timeout), LimitClient)
	c.bound(after(0, t.MaxDuration), LimitMaxDuration)
	c.replays = r.HasBody && (r.Refusable || c.methodAllows())
	if c.Observer != nil {
		c.observeBegin(now)
	}
}

// bound has the call end at m, if something else does not end it sooner.
func (c *Call) bound(m offset, l Limit) {
	if m < c.deadline {
		c.deadline, c.deadlineLimit = m, l
	}
}

// DeadlineLimit tells which limit Deadline is that of.
func (c *Call) DeadlineLimit() Limit { return c.deadlineLimit }

// Deadline is when the response's head must have been forwarded; zero means never.
func (c *Call) Deadline() time.Time { return c.timeOf(c.deadline) }

// Limit tells which deadline an attempt has.
func (c *Call) Limit(id AttemptID) Limit { return c.attempts[id%MaxAttempts].limit }

// TimeLeft is how much longer the clock of an attempt may run, which stands while the request is being sent (Sending); 0: there is no limit.
func (c *Call) TimeLeft(id AttemptID) time.Duration {
	t := &c.attempts[id%MaxAttempts]
	if t.perTry == 0 {
		return 0
	}
	return max(t.perTry-t.spent, 1)
}

// AttemptDeadline is when an attempt is overdue; zero means never.
func (c *Call) AttemptDeadline(id AttemptID) time.Time {
	return c.timeOf(c.attempts[id%MaxAttempts].until)
}

// NextAt is when Timer is due; zero means never.
func (c *Call) NextAt() time.Time { return c.timeOf(c.wakesAt()) }

// HedgeAt is when another attempt starts beside those under way, or a fault has held one up long enough; zero means never, also for as long as one of
// them is being sent (Sending). Timer is to be reported then.
func (c *Call) HedgeAt() time.Time { return c.timeOf(min(c.hedgesAt(), c.heldUntil())) }

// Endpoints are those that this call's attempts were placed at. They are valid until the next event.
func (c *Call) Endpoints() []netip.AddrPort { return c.endpoints }

// NeedsReplay reports whether the driver should keep the request body while it streams: whether an attempt that sent a part of
// it could be repeated at all. That does not take retries to be switched on (rule 8).
func (c *Call) NeedsReplay() bool { return c.replays && !c.lost }

// Retries counts the attempts that were started as retries or hedges: those that a server hears of as earlier ones.
func (c *Call) Retries() int { return c.retries }

// Attempt is the number of an attempt, from 1, and why there is more than one: as Outcome.Reason says it, or hedge.
func (c *Call) Attempt(id AttemptID) (number int, reason string) {
	t := &c.attempts[id%MaxAttempts]
	switch {
	case t.number == 1:
	case t.hedged:
		reason = startNames[Hedged]
	case t.after == OK:
		reason = upstreamFailure
	default:
		reason = t.after.Reason()
	}
	return t.number, reason
}

// Ended reports whether the call has ended, but for its response body.
func (c *Call) Ended() bool { return c.phase <= forwarding }

// Outcome tells how the call ended. It is valid from the end of the call to the next Begin.
func (c *Call) Outcome() Outcome { return c.outcome }

func (c *Call) timer(now time.Time) Action {
	switch c.phase {
	case entering:
		if c.passed(c.deadline, now) {
			return c.expire(now)
		}
		if c.passed(c.until, now) {
			return c.enter(now)
		}
	case trying:
		if id, due := c.overdue(now); due {
			switch t := &c.attempts[id]; {
			case t.answered:
				return c.messageBegun(now, id)
			case t.held:
				return Action{Do: Inject, Attempt: id, Start: t.start}
			}
			return c.timeUp(now, id)
		}
		if id, due := c.heldDue(now); due {
			return c.resume(now, id)
		}
		if c.passed(c.hedgesAt(), now) {
			return c.hedge(now)
		}
	case waiting:
		if c.passed(c.until, now) {
			return c.startRetry(now)
		}
	case ended, forwarding:
	}
	return c.carryOn()
}

// expire ends a call whose deadline passed while nothing but the agent was waited for.
func (c *Call) expire(now time.Time) Action {
	for id := range c.live.All() {
		if c.attempts[id].answered { // that is known, and better than an invented answer (rule 3)
			return c.messageBegun(now, id)
		}
	}
	c.decided(Deadline)
	return c.end(now, ByDeadline)
}

// decided notes that it was the call itself that came to an end of this kind, whatever attempts before have ended by.
func (c *Call) decided(kind Kind) { c.last, c.reset = kind, 0 }

// clientGone ends the call. An attempt that has been slow by then was slow, whoever did not wait for its end.
func (c *Call) clientGone(now time.Time) Action {
	if c.Ended() {
		return Action{}
	}
	a := Action{Do: Abort, Cancel: c.dismiss(now)}
	c.decided(ClientGone)
	c.finish(now, ClientGone, Abandoned)
	return a
}

// carryOn repeats what the driver is doing already.
func (c *Call) carryOn() Action {
	do := Continue
	switch {
	case c.Ended():
		return Action{}
	case c.phase == entering && c.parked:
		do = Park
	case c.phase != trying || c.isHeld():
		do = Wait
	}
	return Action{Do: do, Until: c.timeOf(c.wakesAt())}
}
