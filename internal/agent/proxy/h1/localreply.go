package h1

import (
	"net/http"

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
	failed := r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout
	keep := x.request.KeepAlive && !x.draining() && !(x.Pinned && failed) && x.upload.finish()
	switch {
	case !keep:
		r.ConnOption = http1.ConnClose
	case x.request.Minor == 0:
		r.ConnOption = http1.ConnKeepAlive
	}
	if _, err := r.WriteTo(&x.out); err != nil {
		return closeNow
	}
	if !keep {
		x.s.upstreamEnded = failed
		return closeInStages
	}
	return nextRequest
}
