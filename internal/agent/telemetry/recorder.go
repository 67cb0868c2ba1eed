package telemetry

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/policy"
)

// recorder counts what happens under one policy at one of its targets.
type recorder struct {
	// immutable
	key    recorderKey
	log    *AccessLog      // nil: none
	spans  *spans.Exporter // nil: none
	shards []shard
	lanes  *lanes

	// began is when the first call began, in nanoseconds since epoch, or 0. It is written once, so that reading it costs no core
	// anything.
	began atomic.Int64
	epoch time.Time // immutable; has the monotonic clock's reading: setting the clock must not change what a report covers

	// guarded by Meter.mu
	folded      bool     // metrics show it among the overflow
	number      uint64   // counts the recorders
	reported    counts   // what the reports so far have said
	opened      openings // how often breakers have opened
	dryReported uint64   // what of those of dry runs the reports so far have said
	orphaned    time.Time
	lastSeen    uint64
}

type recorderKey struct {
	policy policy.ID
	target string
}

// shard holds one set of counters. Cores that count in different shards do not disturb each other.
type shard struct {
	// atomic
	calls     [resultCount][call.RetryDecisionCount]atomic.Uint64
	attempts  [call.StartCount][resultCount]atomic.Uint64
	callTook  [buckets]atomic.Uint64
	tryTook   [buckets]atomic.Uint64
	callNanos atomic.Int64
	tryNanos  atomic.Int64
	truncated atomic.Uint64
	fallbacks [call.FallbackAnswerCount]atomic.Uint64
	hedges    [hedgeResults]atomic.Uint64
	grpc      [grpcStatuses]atomic.Uint64
	tls       [len(tlsReasons)]atomic.Uint64
	// cut are those of the calls that would have been successes, but whose answer broke off. They are not in calls, so that no report
	// sees the one without the other.
	cut       [codeClasses][call.RetryDecisionCount]atomic.Uint64
	opaque    atomic.Uint64
	opaqueEnd atomic.Uint64
	sent      atomic.Uint64 // by connections passed through, to their servers
	received  atomic.Uint64 // and from them
	tunnels   [len(lifetimes) + 1]atomic.Uint64
	tunnelled atomic.Int64 // nanoseconds

	handshakes [routes.HandshakeCount]atomic.Uint64
	dryRun     [call.WouldCount]atomic.Uint64

	_ [64]byte // the next shard's first counters are not in the cache line of this one's last
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
	s.tryTook[bucket(t.Took)].Add(1)
	s.tryNanos.Add(int64(t.Took))
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
		r.began.CompareAndSwap(0, int64(max(time.Since(r.epoch)-o.Took, 1)))
	}
	s := r.shard()
	status := o.Status
	if o.Fallback == call.FellBackOnResponse {
		status = o.Upstream
	}
	if o.Fallback != call.NoFallback {
		s.fallbacks[min(o.Fallback, call.FallbackAnswerCount-1)].Add(1)
	}
	if o.Hedges > 0 {
		s.hedged(o)
	}
	if result := resultOf(o.Kind, status); brokeOff(e) && good(o.Decision) && result < codeClasses {
		s.cut[result][o.Decision].Add(1)
	} else {
		s.calls[result][o.Decision].Add(1)
	}
	if o.Decision != call.Abandoned { // how long it would have taken is unknown
		s.callTook[bucket(o.Took)].Add(1)
		s.callNanos.Add(int64(o.Took))
	}
	if e.Outcome.Truncated {
		s.truncated.Add(1)
	}
	if e.GRPC {
		s.grpc[grpcResult(o.GRPCStatus)].Add(1)
	}
	if r.log != nil && wanted(e) {
		r.log.write(r, e)
	}
	if r.spans != nil && e.Trace != nil {
		r.spans.Call(e, r.key.policy, r.key.target)
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

// brokeOff reports whether a response broke off although its client was still there. A client that leaves in the middle of a response,
// for instance of an event stream, has received what it wanted.
func brokeOff(e *routes.Exchange) bool {
	return e.Outcome.Truncated && e.Detail != routes.DetailClientLeft
}

// DryRunDone implements routes.Recorder.
func (r *recorder) DryRunDone(w call.Would) { r.shard().dryRun[min(w, call.WouldCount-1)].Add(1) }

// OpaqueOpened implements routes.Recorder.
func (r *recorder) OpaqueOpened() { r.shard().opaque.Add(1) }

// OpaqueMoved implements routes.Recorder.
func (r *recorder) OpaqueMoved(sent, received int64) { r.shard().moved(sent, received) }

// OpaqueClosed implements routes.Recorder.
func (r *recorder) OpaqueClosed(sent, received int64) {
	s := r.shard()
	s.opaqueEnd.Add(1)
	s.moved(sent, received)
}

func (s *shard) moved(sent, received int64) {
	s.sent.Add(uint64(max(sent, 0)))
	s.received.Add(uint64(max(received, 0)))
}

// TunnelEnded implements routes.Recorder.
func (r *recorder) TunnelEnded(lasted time.Duration) {
	s := r.shard()
	s.tunnels[lifetime(lasted)].Add(1)
	s.tunnelled.Add(int64(max(lasted, 0)))
}

// Handshake implements routes.Recorder.
func (r *recorder) Handshake(h routes.Handshake) {
	r.shard().handshakes[min(h, routes.HandshakeCount-1)].Add(1)
}

// counts are the sums of a recorder's shards.
type counts struct {
	calls     [resultCount][call.RetryDecisionCount]uint64 // cut ones too
	attempts  [call.StartCount][resultCount]uint64
	callTook  latency
	tryTook   latency
	callNanos int64
	tryNanos  int64
	truncated uint64
	fallbacks [call.FallbackAnswerCount]uint64
	hedges    [hedgeResults]uint64
	grpc      [grpcStatuses]uint64
	tls       [len(tlsReasons)]uint64
	cut       uint64
	opaque    uint64
	opaqueEnd uint64
	sent      uint64
	received  uint64
	tunnels   [len(lifetimes) + 1]uint64
	tunnelled int64

	handshakes [routes.HandshakeCount]uint64
	dryRun     [call.WouldCount]uint64
}

// addTo adds the shards to c.
func (r *recorder) addTo(c *counts) {
	for i := range r.shards {
		s := &r.shards[i]
		for k := range s.calls {
			addAll(c.calls[k][:], s.calls[k][:])
		}
		for k := range s.cut {
			var cut [call.RetryDecisionCount]uint64
			addAll(cut[:], s.cut[k][:])
			for f, n := range cut {
				c.calls[k][f] += n
				c.cut += n
			}
		}
		for k := range s.attempts {
			addAll(c.attempts[k][:], s.attempts[k][:])
		}
		addAll(c.callTook[:], s.callTook[:])
		addAll(c.tryTook[:], s.tryTook[:])
		c.callNanos += s.callNanos.Load()
		c.tryNanos += s.tryNanos.Load()
		c.truncated += s.truncated.Load()
		addAll(c.fallbacks[:], s.fallbacks[:])
		addAll(c.hedges[:], s.hedges[:])
		addAll(c.grpc[:], s.grpc[:])
		addAll(c.tls[:], s.tls[:])
		addAll(c.handshakes[:], s.handshakes[:])
		addAll(c.dryRun[:], s.dryRun[:])
		c.opaqueEnd += s.opaqueEnd.Load()
		c.opaque += s.opaque.Load()
		c.sent += s.sent.Load()
		c.received += s.received.Load()
		addAll(c.tunnels[:], s.tunnels[:])
		c.tunnelled += s.tunnelled.Load()
	}
}

// opaqueOpen returns how many passed-through connections are open. The shards are not read at one moment, so that one may seem to have
// ended before it was opened.
func (c *counts) opaqueOpen() uint64 { return c.opaque - min(c.opaque, c.opaqueEnd) }

func addAll(to []uint64, from []atomic.Uint64) {
	for i := range from {
		to[i] += from[i].Load()
	}
}

// events is how much has happened at all: it moves when anything was counted.
func (c *counts) events() uint64 {
	n := c.opaque + c.opaqueEnd + c.sent + c.received
	for _, h := range c.handshakes {
		n += h
	}
	for _, calls := range c.dryRun {
		n += calls
	}
	for _, ended := range c.tunnels {
		n += ended
	}
	for i := range c.tryTook {
		n += c.tryTook[i]
	}
	for i := range c.calls {
		for _, calls := range c.calls[i] {
			n += calls
		}
	}
	return n
}
