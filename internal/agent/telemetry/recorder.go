package telemetry

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/flows"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/policy"
)

// recorder counts what happens under one policy at one of its targets, for all callers or one of them.
type recorder struct {
	// immutable
	key    recorderKey
	caller policy.Caller   // whose calls it counts; the zero Caller: all that have none of their own
	target *recorder       // for all callers, of which this is one; nil: it is that itself
	meter  *Meter          // of which callers have recorders of their own; nil: they have none
	log    *AccessLog      // nil: none
	spans  *spans.Exporter // nil: none
	taps   *taps.Taps      // nil: none
	flows  *flows.Book     // nil: none
	shards []shard
	lanes  *lanes

	// began is when the first call began, in nanoseconds since epoch, or 0. It is written once, so that reading it costs no core
	// anything.
	began atomic.Int64
	epoch time.Time // immutable; has the monotonic clock's reading: setting the clock must not change what a report covers

	exemplars atomic.Pointer[exemplars] // nil: no call has been traced

	// guarded by Meter.mu
	folded      bool     // metrics show it among the overflow
	number      uint64   // counts the recorders
	reported    *counts  // what the reports so far have said; nil for one caller
	opened      openings // how often breakers have opened
	dryReported uint64   // what of those of dry runs the reports so far have said
	orphaned    time.Time
	lastSeen    uint64
	callers     map[policy.Caller]*recorder // counted apart
	gone        *counts                     // by callers that have been forgotten; nil: none has
}

type recorderKey struct {
	policy policy.ID
	target string
}

var _ routes.Recorder = (*recorder)(nil)

func (r *recorder) shard() *shard {
	if len(r.shards) == 1 {
		return &r.shards[0]
	}
	return &r.shards[r.lanes.mine()&uint32(len(r.shards)-1)]
}

// AttemptDone implements routes.Recorder.
func (r *recorder) AttemptDone(t *routes.Attempt) {
	s := r.shard()
	s.attempts[min(t.Start, call.StartCount-1)][resultOf(t.Kind, t.Status)].Add(1)
	if t.Kind != call.Injected { // no upstream has taken any time
		s.tryTook[bucket(t.Took)].Add(1)
		s.totals[tryNanos].Add(uint64(t.Took))
	}
	if t.Kind == call.TLSFailed || t.Kind == call.ConnectFailed || t.Kind == call.ConnectTimeout {
		if i, ok := tlsReason(t, t.Kind == call.TLSFailed); ok {
			s.tls[i].Add(1)
		}
	}
}

// CallDone implements routes.Recorder.
func (r *recorder) CallDone(e *routes.Exchange) {
	o := &e.Outcome
	if r.began.Load() == 0 {
		r.begin(o.Took)
	}
	s := r.shard()
	status := o.Status
	if o.Fallback == call.FellBackOnResponse {
		status = o.Upstream
	}
	if o.Fallback != call.NoFallback {
		s.fallbacks[min(o.Fallback, call.FallbackAnswerCount-1)].Add(1)
	}
	if o.Hedges > 0 || o.Faults.Any() {
		s.hedged(o)
		s.injected(&o.Faults)
	}
	if result := resultOf(o.Kind, status); brokeOff(e) && good(o.Decision) && result < codeClasses {
		s.cut[result][o.Decision].Add(1)
	} else {
		s.calls[result][o.Decision].Add(1)
	}
	if o.Decision != call.Abandoned { // how long it would have taken is unknown
		s.callTook[bucket(o.Took)].Add(1)
		s.totals[callNanos].Add(uint64(o.Took))
	}
	if e.Outcome.Truncated {
		s.totals[brokenOff].Add(1)
	}
	if e.GRPC {
		s.grpc[grpcResult(o.GRPCStatus)].Add(1)
	}
	r.show(e)
}

// show passes a call to those who want to see it by itself.
func (r *recorder) show(e *routes.Exchange) {
	if r.log != nil && wanted(e) {
		r.log.write(r, e)
	}
	if r.taps.Any() {
		r.taps.Call(e, r.key.policy, r.key.target)
	}
	if r.spans != nil && e.Trace != nil {
		r.noteExemplars(e)
		r.spans.Call(e, r.key.policy, r.key.target)
	}
}

// begin notes that the first call has ended, which took so long.
func (r *recorder) begin(took time.Duration) {
	at := int64(max(time.Since(r.epoch)-took, 1))
	r.began.CompareAndSwap(0, at)
	if r.target != nil {
		r.target.began.CompareAndSwap(0, at)
	}
}

// What has become of hedges.
const (
	hedgeWon = iota
	hedgeWasted
	hedgeResults
)

var hedgeNames = [hedgeResults]string{hedgeWon: "won", hedgeWasted: "wasted"}

// hedged counts the hedges of a call.
func (s *shard) hedged(o *call.Outcome) {
	wasted := o.Hedges
	if o.HedgeWon {
		wasted--
		s.hedges[hedgeWon].Add(1)
	}
	s.hedges[hedgeWasted].Add(uint64(max(wasted, 0)))
}

// The kinds of faults that policies inject.
const (
	faultDelay = iota
	faultResponse
	faultReset
	faultKinds
)

var faultNames = [faultKinds]string{faultDelay: "delay", faultResponse: "response", faultReset: "reset"}

// injected counts the faults of a call.
func (s *shard) injected(n *call.FaultCounts) {
	for i, n := range [faultKinds]uint8{faultDelay: n.Delays, faultResponse: n.Responses, faultReset: n.Resets} {
		s.faults[i].Add(uint64(n))
	}
}

// brokeOff reports whether a response broke off although its client was still there. A client that leaves in the middle of a response,
// for instance of an event stream, has received what it wanted.
func brokeOff(e *routes.Exchange) bool {
	return e.Outcome.Truncated && e.Detail != routes.DetailClientLeft
}

// DryRunDone implements routes.Recorder. It counts for all callers.
func (r *recorder) DryRunDone(w call.Would) {
	if r.target != nil {
		r = r.target
	}
	r.shard().dryRun[min(w, call.WouldCount-1)].Add(1)
}

// OpaqueOpened implements routes.Recorder.
func (r *recorder) OpaqueOpened() { r.shard().totals[opaqueOpened].Add(1) }

// OpaqueMoved implements routes.Recorder.
func (r *recorder) OpaqueMoved(sent, received int64) { r.shard().moved(sent, received) }

// OpaqueClosed implements routes.Recorder.
func (r *recorder) OpaqueClosed(sent, received int64) {
	s := r.shard()
	s.totals[opaqueEnded].Add(1)
	s.moved(sent, received)
}

func (s *shard) moved(sent, received int64) {
	s.totals[opaqueSent].Add(uint64(max(sent, 0)))
	s.totals[opaqueReceived].Add(uint64(max(received, 0)))
}

// TunnelEnded implements routes.Recorder.
func (r *recorder) TunnelEnded(lasted time.Duration) {
	s := r.shard()
	s.tunnels[lifetime(lasted)].Add(1)
	s.totals[tunnelNanos].Add(uint64(max(lasted, 0)))
}

// Handshake implements routes.Recorder.
func (r *recorder) Handshake(h routes.Handshake) {
	r.shard().handshakes[min(h, routes.HandshakeCount-1)].Add(1)
}

// addTo adds what was counted at a target to c, by all callers.
func (r *recorder) addTo(c *counts) {
	r.addOwn(c)
	for _, of := range r.callers {
		of.addOwn(c)
	}
	if r.gone != nil {
		c.plus(r.gone)
	}
}

// addOwn adds what was counted by r itself.
func (r *recorder) addOwn(c *counts) {
	for i := range r.shards {
		c.add(&r.shards[i])
	}
}
