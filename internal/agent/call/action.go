package call

import (
	"iter"
	"math/bits"
	"time"
)

// AttemptID names an attempt as long as the driver holds something of it: while it is under way, and while its response is kept.
type AttemptID uint8

// MaxAttempts is how many attempts a driver may hold at once; their ids are below it. Ids are given in turn, so that an event of
// an attempt that has just ended does not meet another.
const MaxAttempts = 4

// AttemptSet is a set of attempts.
type AttemptSet uint8

// SetOf returns the set of one attempt.
func SetOf(id AttemptID) AttemptSet { return 1 << (id % 8) }

// Has reports whether an attempt is in the set.
func (s AttemptSet) Has(id AttemptID) bool { return s&SetOf(id) != 0 }

// All yields the attempts in the set.
func (s AttemptSet) All() iter.Seq[AttemptID] {
	return func(yield func(AttemptID) bool) {
		for ; s != 0; s &= s - 1 {
			if !yield(AttemptID(bits.TrailingZeros8(uint8(s)))) {
				return
			}
		}
	}
}

// Do is what the driver does next.
type Do uint8

const (
	// Continue: nothing changes; go on with the I/O under way. Only Until may have moved. Also the answer to events that
	// have no effect: those of an attempt that is over, or of a call that has ended.
	Continue Do = iota
	// Wait: do nothing until Action.Until, then report Timer. The client's departure must be noticed meanwhile
	// (rule 4).
	Wait
	// Park: like Wait, but report Woken when the call was woken (Call.OnWake) before Until.
	Park
	// AwaitTrailers: keep back the response head just reported, whose gRPC status is still to come, and forward nothing of the response. Report
	// MessageBegun when a message begins to arrive, ResponseHead once more if trailers come before any message, and Timer at Until.
	AwaitTrailers
	// StartAttempt: pick an endpoint (avoiding Call.Endpoints when Action.Avoid), take a connection and send the request.
	StartAttempt
	// Inject: a fault of the plan's has ended an attempt that was not started. Report it as Call.Fault has it, and then Injected.
	Inject
	// Forward: forward the response just reported. The call has ended but for its body, which Until may bound
	// (timeouts.maxDuration): cut the exchange then. Report Finished at its end.
	Forward
	// ForwardKept: forward the response kept earlier (Action.Keep): the last real one (rule 10). Otherwise like Forward.
	ForwardKept
	// Respond: answer as Plan.Fallback says.
	Respond
	// Reject: answer locally, as Call.Outcome says.
	Reject
	// Abort: the client is gone; free everything, answer nothing.
	Abort
)

// Start says what kind of attempt is started.
type Start uint8

// The kinds of starts.
const (
	// First: the call's first attempt.
	First Start = iota
	// Retry: an attempt after a failure that the policy retries.
	Retry
	// Repair: the attempt after one that met a dead kept-alive connection (rule 8): the pool failed, not the upstream.
	Repair
	// Hedged: an attempt beside others that have not been answered for long.
	Hedged
	// FallbackStart: the one attempt on the fallback's route.
	FallbackStart
	// StartCount is the number of kinds.
	StartCount
)

var startNames = [StartCount]string{First: "first", Retry: "retry", Repair: "repair", Hedged: "hedge", FallbackStart: "fallback"}

// String returns the kind as metrics and logs show it.
func (s Start) String() string { return startNames[min(s, StartCount-1)] }

// Limit names the deadline that an attempt or a call has.
type Limit uint8

// The limits.
const (
	// NoLimit: there is no deadline.
	NoLimit Limit = iota
	// LimitOverall is timeouts.overall.
	LimitOverall
	// LimitClient is the client's own deadline.
	LimitClient
	// LimitMaxDuration is timeouts.maxDuration.
	LimitMaxDuration
	// LimitPerTry is timeouts.perTry.
	LimitPerTry
	// LimitResponseHeader is timeouts.responseHeader.
	LimitResponseHeader
	// LimitAdaptive is timeouts.adaptive.
	LimitAdaptive
)

// Action is a Call's answer to an event.
type Action struct {
	Do Do
	// Attempt is the one that StartAttempt starts, or whose response Forward and ForwardKept forward.
	Attempt AttemptID
	// Start says what kind of attempt StartAttempt starts.
	Start Start
	// Cancel: before anything else, give up what is held of these attempts: close the connection or reset the stream, and drop
	// the response that was kept.
	Cancel AttemptSet
	// Keep: hold on to the response just reported, it may have to be forwarded later.
	Keep bool
	// Avoid: choose an endpoint that this call has not tried yet, if there is one.
	Avoid bool
	// Fresh: make a new connection, do not take a kept-alive one (rule 8).
	Fresh bool
	// Route: 0 is the call's own, 1 that of its plan's Fallback.
	Route uint8
	// Until is when the driver reports Timer if nothing else happened before; zero means never. It may have passed already.
	Until time.Time
}
