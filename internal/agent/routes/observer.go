package routes

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/policy"
)

// Observer gets what calls did. Its handles are resolved when a policy is installed, so that counting needs no lookup.
type Observer interface {
	// Recorder returns the handle for one policy at one of its targets (as policy.Target.String shows it). Asked again for the
	// same pair it returns the same handle.
	Recorder(id policy.ID, target string) Recorder
}

// Recorder counts what happened under one policy at one target. Its methods are called on the path of calls: they must not
// block, allocate or keep their arguments.
type Recorder interface {
	// ForCaller returns the handle for the calls of one caller: this one, where callers are not counted apart. It may lock and allocate, so it is
	// asked when a route is resolved.
	ForCaller(c policy.Caller) Recorder
	// ForRoute returns the handle for the calls of one caller to one concrete destination; byAddress says that this is an address, and that what is
	// there calls say by their hosts. It may allocate, as ForCaller may.
	ForRoute(c policy.Caller, destination string, byAddress bool) Recorder
	// AttemptDone reports an attempt that was dispatched and has ended.
	AttemptDone(t *Attempt)
	// CallDone reports a call, after its response was forwarded or given up.
	CallDone(e *Exchange)
	// OpaqueOpened reports a connection governed by the policy that is passed through without being understood.
	OpaqueOpened()
	// OpaqueMoved reports how many bytes went to the server and came from it since that was reported last, for as long as it goes on.
	OpaqueMoved(sent, received int64)
	// OpaqueClosed reports its end, and how many bytes OpaqueMoved has not reported.
	OpaqueClosed(sent, received int64)
	// TunnelEnded reports how long a connection was open that was passed through and carried something, or a tunnel that a call had become.
	TunnelEnded(lasted time.Duration)
	// DryRunDone reports what a dry run would have done with a call that has ended.
	DryRunDone(w call.Would)
	// Handshake reports what has become of the TLS of a pod that is to be intercepted.
	Handshake(h Handshake)
}

// Attempt is one attempt of a call.
type Attempt struct {
	Kind   call.Kind
	Status int // 0 without a response
	// GRPC: the response was one to a gRPC call, and GRPCStatus is known.
	GRPC       bool
	GRPCStatus policy.GRPCStatus
	Start      call.Start
	Reused     bool // on a connection that had served before
	Peer       netip.AddrPort
	Took       time.Duration // from dispatch to the response head or the failure
	Detail     Detail        // how it failed
}

// MaxAttempts is how many attempts of one call are reported with it; of more, the first ones and the last.
const MaxAttempts = 12

// Exchange is one call, body included.
type Exchange struct {
	Pod      string // UID
	Original netip.AddrPort
	// Rule is the name of the rule that governed the call; empty for the policy's base.
	Rule      string
	AccessLog policy.AccessLog
	Outcome   call.Outcome
	GRPC      bool // it was a gRPC call
	// Took is the time from the request head to the end of the response body.
	Took time.Duration
	// Detail says how the call failed, or its last attempt, as far as that is known.
	Detail Detail
	// Attempts are the call's that were dispatched, at most MaxAttempts; the last one is the one answered with, or of the last failure.
	// They are valid during CallDone.
	Attempts []Attempt
	// TraceID names the trace that the call belongs to, as far as its policy has calls traced; zero: none that is known.
	TraceID tracing.TraceID
	// Trace has the spans of the call; nil: it is not traced. It is valid during CallDone.
	Trace *Trace
	// DryRun is what a dry run would have done with the call.
	DryRun DryRun
	// Watched: somebody has watched the call who has made it for that (kubectl fairlead trace).
	Watched bool
	// Method, Host and Path are the request's, for the access log alone; never labels. They are valid during CallDone.
	Method, Host, Path []byte
}

// Trace is the span of a call, and those of its attempts.
type Trace struct {
	ID tracing.TraceID
	// Parent is the span of the caller; zero: the trace begins here.
	Parent, Span tracing.SpanID
	Flags        byte
	Began        time.Time
	// Attempts are the spans of Exchange.Attempts.
	Attempts []Span
}

// Span is the span of an attempt.
type Span struct {
	ID     tracing.SpanID
	Number int    // of the attempt, from 1
	Reason string // why there is more than one; see call.Call.Attempt
	Began  time.Time
}

// Discard is an Observer that does nothing.
type Discard struct{}

// Recorder implements Observer.
func (Discard) Recorder(policy.ID, string) Recorder { return Discard{} }

// ForCaller implements Recorder.
func (Discard) ForCaller(policy.Caller) Recorder { return Discard{} }

// ForRoute implements Recorder.
func (Discard) ForRoute(policy.Caller, string, bool) Recorder { return Discard{} }

// AttemptDone implements Recorder.
func (Discard) AttemptDone(*Attempt) {}

// CallDone implements Recorder.
func (Discard) CallDone(*Exchange) {}

// DryRunDone implements Recorder.
func (Discard) DryRunDone(call.Would) {}

// OpaqueOpened implements Recorder.
func (Discard) OpaqueOpened() {}

// OpaqueMoved implements Recorder.
func (Discard) OpaqueMoved(int64, int64) {}

// OpaqueClosed implements Recorder.
func (Discard) OpaqueClosed(int64, int64) {}

// TunnelEnded implements Recorder.
func (Discard) TunnelEnded(time.Duration) {}

// Handshake implements Recorder.
func (Discard) Handshake(Handshake) {}
