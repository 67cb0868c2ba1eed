package drive

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
)

// traced is what a Record keeps of the spans of its call.
type traced struct {
	on     bool
	orphan bool // tracestate is not to be passed on
	call   *call.Call
	routes.Trace

	// spans are those of the attempts that are under way, by their numbers.
	spans [call.MaxAttempts]routes.Span
}

// BeginTrace decides whether a call is traced: as its caller says, or else by chance, as its policy says. A call that is not is passed on as it is.
func (r *Record) BeginTrace(now time.Time, p *routes.Plan, c *call.Call, v route.View) {
	if p.Tracing == nil {
		return
	}
	t := &r.trace
	value, _ := v.Header(tracing.Parent)
	parent, known := tracing.Parse(value)
	t.ID, t.Flags = parent.Trace, parent.Flags
	if !known {
		t.Flags = tracing.Sampled
	}
	t.on = known && parent.Flags&tracing.Sampled != 0 || !known && tracing.Draw(p.Tracing.SamplePercent)
	if !t.on {
		return
	}
	// "If parsing fails, the vendor creates a new traceparent header and deletes the tracestate" (Trace Context, section 3.4).
	t.orphan = !known
	if !known {
		t.ID = tracing.NewTraceID()
	}
	t.Parent, t.Span, t.Began, t.call = parent.Span, tracing.NewSpanID(), now, c
	t.Attempts, t.spans = t.Attempts[:0], [call.MaxAttempts]routes.Span{}
}

// endTrace forgets the spans of a call.
func (r *Record) endTrace() { r.trace.on, r.trace.ID = false, tracing.TraceID{} }

// Traced reports whether the attempts of the call carry a traceparent of their own.
func (r *Record) Traced() bool { return r.trace.on }

// Orphaned reports whether the call has begun its trace, so that a tracestate it has arrived with is about none.
func (r *Record) Orphaned() bool { return r.trace.orphan }

// AppendTraceparent appends the traceparent of an attempt that begins, of a call that is traced.
func (r *Record) AppendTraceparent(dst []byte, id call.AttemptID) []byte {
	t := &r.trace
	s := &t.spans[id%call.MaxAttempts]
	*s = routes.Span{ID: tracing.NewSpanID()}
	s.Number, s.Reason = t.call.Attempt(id)
	c := tracing.Context{Trace: t.ID, Span: s.ID, Flags: t.Flags}
	return c.Append(dst)
}

// attemptEnded keeps the span of an attempt that has ended, which has had a connection or not.
func (t *traced) attemptEnded(a *routes.Attempt) {
	s := &t.spans[a.ID%call.MaxAttempts]
	if s.ID == (tracing.SpanID{}) {
		s.ID = tracing.NewSpanID()
		s.Number, s.Reason = t.call.Attempt(a.ID)
	}
	s.Began = time.Now().Add(-a.Took)
	if len(t.Attempts) == routes.MaxAttempts {
		t.Attempts = t.Attempts[:routes.MaxAttempts-1]
	}
	t.Attempts = append(t.Attempts, *s)
	*s = routes.Span{}
}
