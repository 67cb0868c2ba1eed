package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans"
	"fairlead.dev/fairlead/internal/policy"
)

// notifier is rung by whatever happens in a world, for those who wait for it.
type notifier struct {
	mu       sync.Mutex
	notified chan struct{} // nil: nobody listens
}

func (b *notifier) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notified != nil {
		close(b.notified)
		b.notified = nil
	}
}

// next is closed with the next ring.
func (b *notifier) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notified == nil {
		b.notified = make(chan struct{})
	}
	return b.notified
}

// waitFor waits until something has come true that makes itself heard: dials, attempts, calls and the events of connections do.
func (b *notifier) waitFor(t testing.TB, done func() bool) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		rings := b.next()
		if done() {
			return
		}
		select {
		case <-rings:
		case <-late.C:
			t.Fatal("it does not happen")
		}
	}
}

// events records what happens to connections.
type recordedEvents struct {
	*notifier
	passed    [PassedCount]atomic.Int64
	malformed atomic.Int64
	refused   atomic.Pointer[drive.Refused] // the last
	panics    atomic.Int64
	floods    [drive.SideCount][drive.FloodCount]atomic.Int64
	t         testing.TB

	expectPanic atomic.Bool
}

func (e *recordedEvents) Opened() { e.notify() }

func (e *recordedEvents) Closed() { e.notify() }

func (e *recordedEvents) Passed(why Passed) { e.passed[why].Add(1); e.notify() }

func (e *recordedEvents) Malformed(r drive.Refused) {
	e.malformed.Add(1)
	e.refused.Store(&r)
	e.notify()
}

func (e *recordedEvents) Flooded(from drive.Side, f drive.Flood) {
	e.floods[from][f].Add(1)
	e.notify()
}

// flooded waits for floods and checks that there was none but so many of one kind.
func (e *recordedEvents) flooded(t testing.TB, from drive.Side, f drive.Flood, want int64) {
	t.Helper()
	e.waitFor(t, func() bool { return e.floods[from][f].Load() > 0 })
	for side := range e.floods {
		for kind := range e.floods[side] {
			n, most := e.floods[side][kind].Load(), int64(0)
			if drive.Side(side) == from && drive.Flood(kind) == f {
				most = want
			}
			if n > most {
				t.Errorf("%d floods of kind %v of a %v, want %d", n, drive.Flood(kind), drive.Side(side), most)
			}
		}
	}
}

func (e *recordedEvents) Panicked(_ string, what any, stack []byte) {
	defer e.notify()
	e.panics.Add(1)
	if e.expectPanic.Load() {
		return
	}
	e.t.Errorf("panic: %v\n%s", what, stack)
}

// fakeRecorder keeps what calls did.
type fakeRecorder struct {
	*notifier
	mu       sync.Mutex
	attempts []routes.Attempt
	calls    []routes.Exchange
	discards atomic.Bool // keep nothing
	// spans gets the spans of calls; nil: nobody does.
	spans atomic.Pointer[spans.Exporter]
	// panics makes TryDone fail as a mistake of ours would.
	panics   atomic.Bool
	panicked atomic.Pointer[routes.Attempt]
	// opaque is about connections that were passed through.
	opaque struct{ opened, closed, sent, received atomic.Int64 }
	// tunnels that have ended, and how long they had lasted in all.
	tunnels, lasted atomic.Int64
	// handshakes are those of pods whose TLS is intercepted.
	handshakes [routes.HandshakeCount]atomic.Int64
	// would is what dry runs would have done.
	would [call.WouldCount]atomic.Int64
}

func (o *fakeRecorder) Recorder(policy.ID, string) routes.Recorder { return o }

func (o *fakeRecorder) ForCaller(policy.Caller) routes.Recorder { return o }

// ForRoute implements routes.Recorder.
func (o *fakeRecorder) ForRoute(policy.Caller, string, bool) routes.Recorder { return o }

func (o *fakeRecorder) Handshake(h routes.Handshake) { o.handshakes[h].Add(1); o.notify() }

func (o *fakeRecorder) DryRunDone(w call.Would) { o.would[w].Add(1); o.notify() }

func (o *fakeRecorder) OpaqueOpened() { o.opaque.opened.Add(1); o.notify() }

func (o *fakeRecorder) OpaqueMoved(sent, received int64) {
	o.opaque.sent.Add(sent)
	o.opaque.received.Add(received)
	o.notify()
}

func (o *fakeRecorder) OpaqueClosed(sent, received int64) {
	o.OpaqueMoved(sent, received)
	o.opaque.closed.Add(1)
	o.notify()
}

func (o *fakeRecorder) TunnelEnded(lasted time.Duration) {
	o.lasted.Add(int64(lasted))
	o.tunnels.Add(1)
	o.notify()
}

func (o *fakeRecorder) AttemptDone(t *routes.Attempt) {
	if o.panics.Load() {
		o.panicked.Store(t)
		panic("as the test asks")
	}
	if o.discards.Load() {
		return
	}
	defer o.notify()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.attempts = append(o.attempts, *t)
}

func (o *fakeRecorder) CallDone(e *routes.Exchange) {
	if !o.discards.Load() {
		o.keep(e)
	}
}

// keep is apart from CallDone because of the stack that it takes.
func (o *fakeRecorder) keep(e *routes.Exchange) {
	if s := o.spans.Load(); s != nil && e.Trace != nil {
		s.Call(e, policy.ID{Namespace: "ns", Name: "p"}, "any")
	}
	defer o.notify()
	o.mu.Lock()
	defer o.mu.Unlock()
	c := *e
	c.Method, c.Host, c.Path, c.Trace = nil, nil, nil, nil
	c.Attempts = slices.Clone(e.Attempts)
	o.calls = append(o.calls, c)
}

// await waits until so many calls have come to their end, which clients may see before.
func (o *fakeRecorder) await(t testing.TB, calls int) {
	t.Helper()
	o.waitFor(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.calls) >= calls
	})
}

// forget drops the calls so far, of which there is at least one.
func (o *fakeRecorder) forget(t testing.TB) {
	t.Helper()
	o.lastCall(t)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = nil
}

func (o *fakeRecorder) lastCall(t testing.TB) routes.Exchange {
	t.Helper()
	o.waitFor(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.calls) > 0
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[len(o.calls)-1]
}
