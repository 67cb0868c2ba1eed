package drive

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
)

// traced is what a Record keeps of the spans of its call. It is made when a first call is traced, and used again.
type traced struct {
	on     bool
	orphan bool // tracestate is not to be passed on
	call   *call.Call
	routes.Trace

	parent []byte // the traceparent of an attempt
	// spans are those of the attempts that are under way, by their numbers.
	spans [call.MaxAttempts]routes.Span
}

// fieldCount counts fields.
type fieldCount int

// Fits has the search for a field go on behind each.
func (n *fieldCount) Fits([]byte) bool { *n++; return false }

// BeginTrace decides whether a call is traced: as its caller says, or else by chance, as its policy says. A call that is not is passed on as it is.
func (r *Record) BeginTrace(now time.Time, p *routes.Plan, c *call.Call, v route.View) {
	if p.Tracing == nil {
		return
	}
	value, _ := v.Header(tracing.Parent)
	parent, known := tracing.Parse(value)
	if known { // which of several would be the caller's nobody knows
		r.parents = 0
		v.AnyHeader(tracing.Parent, &r.parents)
		if r.parents > 1 {
			parent, known = tracing.Context{}, false
		}
	}
	if !known && !tracing.Draw(p.Tracing.SamplePercent) {
		return
	}
	if r.trace == nil {
		r.trace = &traced{}
	}
	t := r.trace
	if t.ID = parent.Trace; known && parent.Flags&tracing.Sampled == 0 {
		return // which is known of it all the same
	}
	// "If parsing fails, the vendor creates a new traceparent header and deletes the tracestate" (Trace Context, section 3.4).
	if t.orphan = !known; t.orphan {
		t.ID, parent.Flags = tracing.NewTraceID(), tracing.Sampled
	}
	t.on, t.Flags, t.Parent, t.Span, t.Began, t.call = true, parent.Flags, parent.Span, tracing.NewSpanID(), now, c
	t.Attempts, t.spans = t.Attempts[:0], [call.MaxAttempts]routes.Span{}
}

// endTrace forgets the spans of a call.
//
//go:noinline
func (r *Record) endTrace() {
	if r.trace != nil {
		r.trace.on, r.trace.ID = false, tracing.TraceID{}
	}
}

// Traced reports whether the attempts of the call carry a traceparent of their own.
func (r *Record) Traced() bool { return r.trace != nil && r.trace.on }

// Orphaned reports whether the call, which is traced, has begun its trace, so that a tracestate it has arrived with is about none.
func (r *Record) Orphaned() bool { return r.trace.orphan }

// Traceparent returns the traceparent of an attempt that begins, of a call that is traced. It is valid until the next one is asked for.
func (r *Record) Traceparent(id call.AttemptID) []byte {
	t := r.trace
	s := &t.spans[id%call.MaxAttempts]
	*s = routes.Span{ID: tracing.NewSpanID()}
	s.Number, s.Reason = t.call.Attempt(id)
	c := tracing.Context{Trace: t.ID, Span: s.ID, Flags: t.Flags}
	t.parent = c.Append(t.parent[:0])
	return t.parent
}

// reportTrace says which trace the call is known to belong to, and its spans if it is traced. It is apart from Report because of the stack that a
// connection keeps.
//
//go:noinline
func (r *Record) reportTrace(e *routes.Exchange) {
	e.TraceID, e.Trace = tracing.TraceID{}, nil
	if r.trace == nil {
		return
	}
	if e.TraceID = r.trace.ID; r.trace.on {
		e.Trace = &r.trace.Trace
	}
}

// attemptEnded keeps the span of an attempt that has ended, which has had a connection or not.
func (t *traced) attemptEnded(id call.AttemptID, took time.Duration) {
	s := &t.spans[id%call.MaxAttempts]
	if s.ID == (tracing.SpanID{}) {
		s.ID = tracing.NewSpanID()
		s.Number, s.Reason = t.call.Attempt(id)
	}
	s.Began = time.Now().Add(-took)
	if len(t.Attempts) == routes.MaxAttempts {
		t.Attempts = t.Attempts[:routes.MaxAttempts-1]
	}
	t.Attempts = append(t.Attempts, *s)
	*s = routes.Span{}
}
