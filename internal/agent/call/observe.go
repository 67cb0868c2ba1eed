package call

import (
	"net/netip"
	"time"
)

// Observer gets every step of a call. It is called where the step is made, so it must not block.
type Observer interface{ Step(s *Step) }

// What is what a step is.
type What uint8

// The steps of a call. Those of the second group are a driver's to report (Call.Report).
const (
	// Begins: the call begins. Request has what is known of it, Limit and For are its deadline.
	Begins What = iota
	// GatePassed, GateWaits and GateRefuses: Gate has let the call pass, has it wait (For, as far as that is known), or refuses it.
	GatePassed
	GateWaits
	GateRefuses
	// BreakerAllows and BreakerRefuses: the breaker of the destination gave a permit (Probe: to find out whether it can close), or did not.
	BreakerAllows
	BreakerRefuses
	// BudgetRefuses: there was budget for a retry when it was decided on, and is none now.
	BudgetRefuses
	// Starts: an attempt starts, by Start.
	Starts
	// Faulted: a fault of the policy's has met it, which holds it up for For.
	Faulted
	// Placed: it has an endpoint. Limit and For are its deadline.
	Placed
	// Unplaced: there was no place for a hedge, which is given up.
	Unplaced
	// Sent: its request has been sent.
	Sent
	// Interim: a response of 1xx has gone to the client, so that nothing is retried any more.
	Interim
	// Held: its response is held back, since its gRPC status is still to come.
	Held
	// Judged: it has ended, with Status and GRPC or with Kind; Class is what the policy thinks of that.
	Judged
	// Decided: whether another attempt follows. Decision is NotNeeded if one does, after For, of which Backoff was drawn and Wish is what the server asked for.
	Decided
	// HedgeDue: no attempt was answered in time. NoHedge: another one beside it is not allowed, or not possible.
	HedgeDue
	NoHedge
	// Dismissed: an attempt is given up, since another one decides the call, or nobody waits for it.
	Dismissed
	// FallsBack: the call falls back on another destination.
	FallsBack
	// Ends: it is decided what the client is answered: Kind, Status and GRPC.
	Ends
	// Finishes: the response has been forwarded, or has broken off.
	Finishes

	// LooksUp: the addresses of the destination's name are waited for.
	LooksUp
	// Queued: there is no place in the pool, and one is waited for.
	Queued
	// Chosen: why the endpoint was chosen, and that a connection is there (Reused), or is to be made.
	Chosen
	// Connected: the connection was made. For is what that took, Handshake the part of it that was the handshake's.
	Connected
	// Ended: how an attempt has ended, with the driver's Detail, and For that it took.
	Ended
	// WhatCount is the number of kinds of steps.
	WhatCount
)

// Step is one step of a call.
type Step struct {
	At   time.Time
	What What
	// Attempt is the number of the attempt that it is about, from 1; 0: it is about none.
	Attempt  int
	Start    Start
	Request  Request
	Gate     int
	Probe    bool
	Endpoint netip.AddrPort
	Limit    Limit
	For      time.Duration
	Kind     Kind
	// Status and GRPC are those of a response; 0 and -1: there are none.
	Status, GRPC int
	Class        Class
	Decision     RetryDecision
	// Backoff and Wish are parts of For of Decided. Retries is how many there were, of MaxRetries.
	Backoff, Wish       time.Duration
	Retries, MaxRetries int
	// of a driver's
	Reused    bool
	Handshake time.Duration
	Detail    string
	// Choice says why an endpoint was chosen: an *upstream.Choice; nil: that is not known.
	Choice any
}

// Class is what a policy thinks of how an attempt has ended.
type Class struct {
	// Good: it answers the call. Retryable: it is among what the policy retries. BreakerFails: the breaker counts it as failed. Unsent: no server can
	// have processed the request.
	Good, Retryable, BreakerFails, Unsent bool
}

// Report passes a step of a driver's to the observer, if there is one. It fills in the number of the attempt.
//
//go:noinline
func (c *Call) Report(id AttemptID, s Step) {
	if c.Observer == nil {
		return
	}
	s.Attempt = c.attempts[id%MaxAttempts].number
	if s.GRPC == 0 {
		s.GRPC = -1
	}
	c.Observer.Step(&s)
}

// The functions below ask whether there is an observer where they are called. What they call then is not inlined, so that calls which nobody observes do
// not carry a Step on their stacks.

func (c *Call) noteGate(now time.Time, what What, wait time.Duration) {
	if c.Observer != nil {
		c.observeGate(now, what, wait)
	}
}

func (c *Call) note(now time.Time, what What, id AttemptID) {
	if c.Observer != nil {
		c.observe(now, what, id)
	}
}

func (c *Call) noteResult(now time.Time, id AttemptID, r *result, kind Kind) {
	if c.Observer != nil {
		c.observeResult(now, id, r, kind)
	}
}

func (c *Call) noteDecision(now time.Time, r *result, delay time.Duration, d RetryDecision) {
	if c.Observer != nil {
		c.observeDecision(now, r, delay, d)
	}
}

func (c *Call) noteEnd(now time.Time, what What) {
	if c.Observer != nil {
		c.observeEnd(now, what)
	}
}

//go:noinline
func (c *Call) observeBegin(now time.Time) {
	s := Step{At: now, What: Begins, Request: c.request, Limit: c.deadlineLimit, GRPC: -1}
	if c.deadline != never {
		s.For = c.deadline
	}
	c.Observer.Step(&s)
}

//go:noinline
func (c *Call) observeGate(now time.Time, what What, wait time.Duration) {
	c.Observer.Step(&Step{At: now, What: what, Gate: c.gates, For: max(wait, 0), GRPC: -1})
}

//go:noinline
func (c *Call) observeBreaker(now time.Time, probe, allows bool) {
	s := Step{At: now, What: BreakerRefuses, Probe: probe, GRPC: -1}
	if allows {
		s.What = BreakerAllows
	}
	c.Observer.Step(&s)
}

//go:noinline
func (c *Call) observe(now time.Time, what What, id AttemptID) {
	t := &c.attempts[id%MaxAttempts]
	s := Step{At: now, What: what, Attempt: t.number, GRPC: -1}
	switch what {
	case Placed:
		s.Limit = t.limit
		if s.Endpoint = c.endpoints[len(c.endpoints)-1]; t.until != never {
			s.For = t.until - c.offsetOf(now)
		}
	case Faulted:
		if t.held {
			s.For = t.release - t.running
		}
	case BudgetRefuses, HedgeDue, NoHedge, FallsBack:
		s.Attempt = 0
	default:
	}
	c.Observer.Step(&s)
}

//go:noinline
func (c *Call) observeStart(now time.Time, id AttemptID, how Start) {
	c.Observer.Step(&Step{At: now, What: Starts, Attempt: c.attempts[id].number, Start: how, GRPC: -1})
}

//go:noinline
func (c *Call) observeResult(now time.Time, id AttemptID, r *result, kind Kind) {
	s := Step{
		At: now, What: Judged, Attempt: c.attempts[id].number, Kind: kind, GRPC: -1,
		Class: Class{Good: !r.failure && !r.retryable, Retryable: r.retryable, BreakerFails: r.breakerFails, Unsent: r.unsent},
	}
	if r.response != nil {
		s.Status, s.GRPC = r.response.Status, r.response.GRPCStatus
	}
	c.Observer.Step(&s)
}

//go:noinline
func (c *Call) observeDecision(now time.Time, r *result, delay time.Duration, d RetryDecision) {
	s := Step{At: now, What: Decided, Decision: d, For: delay, Retries: c.retries, MaxRetries: r.limit, GRPC: -1}
	if d == NotNeeded {
		s.Backoff = c.drawn
	}
	if r.response != nil && r.response.HasRetryAfter {
		s.Wish = r.response.RetryAfter
	}
	c.Observer.Step(&s)
}

//go:noinline
func (c *Call) observeEnd(now time.Time, what What) {
	o := &c.outcome
	c.Observer.Step(&Step{At: now, What: what, Kind: o.Kind, Decision: o.Decision, Status: o.Status, GRPC: o.GRPCStatus})
}
