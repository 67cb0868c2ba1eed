package routes

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// Observer hears what calls did. Its handles are resolved when a policy is installed, so that counting needs no lookup.
type Observer interface {
	// Recorder returns the handle for one policy at one of its targets (as policy.Target.String shows it). Asked again for the
	// same pair it returns the same handle.
	Recorder(id policy.ID, target string) Recorder
}

// Recorder counts what happened under one policy at one target. Its methods are called on the path of calls: they must not
// block, allocate or keep their arguments.
type Recorder interface {
	// AttemptDone tells of one try that was dispatched.
	AttemptDone(t *Attempt)
	// CallDone tells of one call, after its response was forwarded or given up.
	CallDone(e *Exchange)
	// OpaqueOpened tells of a connection governed by the policy that is passed through without being understood.
	OpaqueOpened()
	// OpaqueClosed tells of its end, and how many bytes went to the server and came from it.
	OpaqueClosed(sent, received int64)
}

// Attempt is one try.
type Attempt struct {
	Kind   call.Kind
	Status int // 0 without a response
	Start  call.Start
	Reused bool // on a connection that had served before
	Peer   netip.AddrPort
	Took   time.Duration // from dispatch to the response head or the failure
	Detail Detail        // how it failed
}

// MaxTries is how many tries of one call are told with it; of more, the first ones and the last.
const MaxTries = 12

// Exchange is one call, body included.
type Exchange struct {
	Pod      string // UID
	Original netip.AddrPort
	// Rule is the name of the rule that governed the call; empty for the policy's base.
	Rule      string
	AccessLog policy.AccessLog
	Outcome   call.Outcome
	// Took is the time from the request head to the end of the response body.
	Took time.Duration
	// Detail says how the call failed, or its last try, as far as that is known.
	Detail Detail
	// Tries are the call's tries that were dispatched, at most MaxTries; the last one is the one answered with, or of the last failure.
	// They are valid during CallDone.
	Tries []Attempt
	// Method, Host and Path are the request's, for the access log alone; never labels. They are valid during CallDone.
	Method, Host, Path []byte
}

// Silence is an Observer that hears nothing.
type Silence struct{}

// Recorder implements Observer.
func (Silence) Recorder(policy.ID, string) Recorder { return Silence{} }

// AttemptDone implements Recorder.
func (Silence) AttemptDone(*Attempt) {}

// CallDone implements Recorder.
func (Silence) CallDone(*Exchange) {}

// OpaqueOpened implements Recorder.
func (Silence) OpaqueOpened() {}

// OpaqueClosed implements Recorder.
func (Silence) OpaqueClosed(int64, int64) {}
