package call

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// Plan is what governs a call, resolved before it begins. It must not change while a call uses it: a call sees exactly this from
// start to end (rule 33).
type Plan struct {
	Settings *policy.Settings
	// Gates are the limits that a call passes before its first attempt, in this order.
	Gates []Gate
	// Breaker is asked before every attempt; nil means none, or that each endpoint has its own. That one's permit is taken by whoever chooses the
	// endpoint, which tells with Hold.
	Breaker *resilience.Breaker
	// Endpoints judges each endpoint by itself, for whoever chooses one; nil: nobody does.
	Endpoints *resilience.Endpoints
	// Budget bounds retries and hedges; nil means no bound.
	Budget *resilience.Budget
	// Adaptive says how long an attempt may take, in place of timeouts.perTry, and learns how long they take; nil: that holds as it is written.
	Adaptive *resilience.AdaptiveTimeout
	// Random draws from [0, 1) for this worker only.
	Random func() float64
	// Hedge says when an attempt gets another beside it; the zero Hedge means never.
	Hedge Hedge
	// Fallback is what a call that failed ends with instead; nil means none.
	Fallback *Fallback
	// Faults meet some of the attempts, as a test of the rest; nil: there are none.
	Faults *Faults
	// Shadow is another plan that decides beside this one and is not obeyed (a dry run); nil means none. Its gates are those that differ.
	Shadow *Plan
	// Alike says, of a Shadow, what it has like the plan that it decides beside.
	Alike Alike
}

// Alike is what a shadow does not ask for itself, because the call has the same.
type Alike struct {
	// Gates has the places of the call's gates that the shadow would pass too. They decide for both.
	Gates uint8
	// Breaker: the call's decides for both. The shadow's plan has none.
	Breaker bool
	// Adaptive and Latency: the shadow's plan has those of the call, which learn from it alone.
	Adaptive, Latency bool
}

// Gate is a limit. Every waiter that was not refused leaves exactly once: when its call has ended, or gives up waiting.
type Gate interface {
	// Enter asks for a call to go on. It is asked again, with the same waiter, when a wait is over or a parked waiter was woken,
	// until it answers Pass or Refuse.
	Enter(now time.Time, w *resilience.Waiter) resilience.Entry
	// Leave ends what Enter began, with the result of the call.
	Leave(now time.Time, w *resilience.Waiter, r resilience.Result)
}

// Hedge says when another attempt starts beside those that have not been answered (rule 17). Only calls are hedged that may be
// retried, and whose request is in memory as a whole; each hedge counts as a retry.
type Hedge struct {
	// After is how long an attempt is waited for before another starts; 0: for ever.
	After time.Duration
	// Latency stands in for After, and learns how long attempts take: 1 ms at least, once it knows; nil: there is none.
	Latency *resilience.LatencyPercentile
	// Max is how many may be started beside others.
	Max int
}

// shortestLearned is the shortest delay that Latency makes: shorter timers cost more than the hedges of calls that are so fast save.
const shortestLearned = time.Millisecond

// Delay is how long an attempt is waited for that is placed now; 0: for ever.
func (h *Hedge) Delay() time.Duration {
	if h.Latency == nil {
		return h.After
	}
	if learned := h.Latency.Value(); learned > 0 {
		return max(learned, shortestLearned)
	}
	return 0
}

// Fallback is the end of a call that failed and of which nothing has been forwarded.
type Fallback struct {
	// On says in which cases.
	On policy.FallbackOn
	// Plan governs one attempt more, on the fallback's own route, in the time that is left; nil: the call is answered locally.
	Plan *Plan
	// Status is that of the local answer, and GRPCStatus for gRPC calls.
	Status, GRPCStatus int
}
