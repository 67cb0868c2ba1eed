package h1

import (
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/tracing"
)

// mark settles how the request differs from the client's: by what is added for every attempt, and by the number and the span of this one.
func (t *attempt) mark() {
	x := t.x
	t.forward = http1.Forward{Extra: x.extra, Without: x.without}
	if !x.request.Connect { // which names where the tunnel leads to
		t.forward.Authority = x.AttemptRoute().Authority()
	}
	if !x.Plan.Settings.AttemptHeader && !x.Traced() {
		return
	}
	t.extra, t.without = append(t.extra[:0], x.extra...), append(t.without[:0], x.without...)
	t.number()
	t.trace()
	t.forward.Extra, t.forward.Without = t.extra, t.without
}

// number has the request say which attempt it is, if the policy asks for that. A call that has arrived with a number goes on with it.
func (t *attempt) number() {
	x := t.x
	number, reason := x.Call.Attempt(t.ID)
	if !x.Plan.Settings.AttemptHeader || number == 1 && x.before > 0 {
		return
	}
	t.extra = append(append(t.extra, drive.AttemptField...), ": "...)
	t.extra = append(drive.AppendAttempt(t.extra, x.before+number, reason), "\r\n"...)
	t.without = append(t.without, drive.AttemptField)
}

// trace has the request name the span of the attempt, if the call is traced.
func (t *attempt) trace() {
	x := t.x
	if !x.Traced() {
		return
	}
	t.extra = append(append(t.extra, tracing.Parent...), ": "...)
	t.extra = append(append(t.extra, x.Traceparent(t.ID)...), "\r\n"...)
	t.without = append(t.without, tracing.Parent)
	if x.Orphaned() {
		t.without = append(t.without, tracing.State)
	}
}
