package h1

import (
	"net/http"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// Reject implements drive.Protocol (rule 26).
func (x *exchange) Reject() { x.next = x.reject() }

// reject answers the client without an upstream, as the call's outcome says.
func (x *exchange) reject() step {
	o := x.Call.Outcome()
	r := http1.Reply{Status: o.Status, Reason: o.Kind.Reason(), ToHead: x.request.Info().Head, RetryAfter: drive.RetryAfter(&o)}
	// Where the client chose the address, a failure to reach it ends its connection as it would without a proxy, so that the client
	// looks the name up again.
	failed := o.Kind != call.Injected && (r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout)
	keep := !(x.Pinned && failed) && x.mayKeep()
	r.ConnOption = x.connOption(keep)
	_, err := r.WriteTo(&x.out)
	return x.answeredHere(err, keep, failed)
}

// Respond implements drive.Protocol.
func (x *exchange) Respond() { x.next = x.respond() }

// respond answers the client with the policy's own response.
func (x *exchange) respond() step {
	o := x.Call.Outcome()
	a := drive.AnswerOf(x.Plan.Settings.Fallback.Response, &o)
	keep := x.mayKeep()
	r := http1.Answer{
		Status: a.Status, Reason: a.Reason, Body: a.Body, Length: a.HasLength(), ConnOption: x.connOption(keep), ToHead: x.request.Info().Head,
		Fields: func(yield func(name, value string) bool) {
			for _, h := range a.Fields {
				if !yield(h.Name, h.Value) {
					return
				}
			}
		},
	}
	_, err := r.WriteTo(&x.out)
	return x.answeredHere(err, keep, false)
}

// mayKeep reports whether the client's connection may go on behind an answer of the agent's own.
func (x *exchange) mayKeep() bool { return x.request.KeepAlive && !x.draining() && x.upload.finish() }

// connOption is what the client hears of that.
func (x *exchange) connOption(keep bool) http1.ConnOption {
	switch {
	case !keep:
		return http1.ConnClose
	case x.request.Minor == 0:
		return http1.ConnKeepAlive
	}
	return http1.NoConnOption
}

// answeredHere ends an exchange with an answer of the agent's own, which was written or not. failed: the upstream has ended it.
func (x *exchange) answeredHere(err error, keep, failed bool) step {
	if err != nil {
		return closeNow
	}
	if !keep {
		x.s.upstreamEnded = failed
		return closeInStages
	}
	return nextRequest
}
