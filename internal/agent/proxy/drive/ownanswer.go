package drive

import (
	"net/http"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// reasonPlace is where the reason of the failure is written in a response of a policy's own.
const reasonPlace = "%REASON%"

// OwnAnswer is the response of a policy's own that stands in for a call that has failed (fallback.response).
type OwnAnswer struct {
	Status int
	// Reason is one of a closed list: that of the fairlead-reason field.
	Reason string
	Fields []policy.HeaderField
	Body   string
}

// AnswerOf returns what a call is answered that has ended with an outcome.
func AnswerOf(f *policy.FallbackResponse, o *call.Outcome) OwnAnswer {
	a := OwnAnswer{Status: f.Status, Reason: o.Reason()}
	written := func(text string) string { return strings.ReplaceAll(text, reasonPlace, a.Reason) }
	typed := false
	for _, h := range f.Headers {
		typed = typed || strings.EqualFold(h.Name, "Content-Type")
		a.Fields = append(a.Fields, policy.HeaderField{Name: h.Name, Value: written(h.Value)})
	}
	if a.HasContent() {
		a.Body = written(f.Body)
	}
	if a.Body != "" && !typed {
		a.Fields = append(a.Fields, policy.HeaderField{Name: "Content-Type", Value: "text/plain; charset=utf-8"})
	}
	return a
}

// HasContent reports whether an answer with the status may have a body (RFC 9110 section 6.4.1).
func (a *OwnAnswer) HasContent() bool {
	return a.Status != http.StatusNoContent && a.Status != http.StatusNotModified && a.Status != http.StatusResetContent
}

// HasLength reports whether it says how long that is, which may be nothing (RFC 9110 section 8.6).
func (a *OwnAnswer) HasLength() bool {
	return a.Status != http.StatusNoContent && a.Status != http.StatusNotModified
}
