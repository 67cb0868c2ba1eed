package h1

import (
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// mark settles how the request differs from the client's: by what is added for every attempt, and by the number of this one.
func (t *attempt) mark() {
	x := t.x
	t.forward = http1.Forward{Extra: x.extra, Without: x.without}
	if !x.request.Connect { // which names where the tunnel leads to
		t.forward.Authority = x.AttemptRoute().Authority()
	}
	if !x.Plan.Settings.AttemptHeader {
		return
	}
	number, reason := x.Call.Attempt(t.ID)
	if number == 1 && x.before > 0 {
		return // it goes on with the number that it has arrived with
	}
	t.extra = append(append(append(t.extra[:0], x.extra...), drive.AttemptField...), ": "...)
	t.extra = append(drive.AppendAttempt(t.extra, x.before+number, reason), "\r\n"...)
	t.without = append(append(t.without[:0], x.without...), drive.AttemptField)
	t.forward.Extra, t.forward.Without = t.extra, t.without
}
