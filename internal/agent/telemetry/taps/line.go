package taps

import (
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// What is shown of a request at most.
const (
	maxMethod = 16
	maxHost   = 128
	maxPath   = 256
)

// CallOf returns what is shown of a call, but for whose it is. Queries, fragments, user information, header fields and bodies are not
// among it: they hold secrets.
func CallOf(e *routes.Exchange, id policy.ID, target string) *liveapi.Call {
	o := &e.Outcome
	c := &liveapi.Call{
		Policy: id.String(), Target: target, Rule: e.Rule, To: e.Original, Status: o.Status,
		Method: ShownMethod(e.Method), Host: ShownHost(e.Host), Path: ShownPath(e.Path),
		Kind: kindName(o.Kind), Decision: o.Decision.String(), Detail: string(e.Detail), Truncated: o.Truncated, Watched: e.Watched,
		HeadSeconds: o.Took.Seconds(), TookSeconds: e.Took.Seconds(), Attempts: o.Attempts,
	}
	if o.Cause != o.Kind {
		c.Cause = kindName(o.Cause)
	}
	if o.Fallback != call.NoFallback {
		c.Fallback = o.Fallback.String()
	}
	if e.GRPC && o.GRPCStatus >= 0 {
		c.GRPCStatus = policy.GRPCStatus(o.GRPCStatus).String()
	}
	if e.TraceID != (tracing.TraceID{}) {
		c.TraceID = e.TraceID.String()
	}
	if d := &e.DryRun; d.Would != call.WouldSame {
		c.DryRun = &liveapi.DryRun{Policy: d.Policy.String(), Would: d.Would.String(), AfterSeconds: d.After.Seconds(), Detail: string(d.Detail)}
	}
	for i := range e.Attempts {
		c.Tried = append(c.Tried, attemptOf(&e.Attempts[i]))
	}
	return c
}

func attemptOf(t *routes.Attempt) liveapi.Attempt {
	a := liveapi.Attempt{
		Endpoint: t.Peer, Start: t.Start.String(), Result: ResultOf(t.Kind, t.Status), Detail: string(t.Detail), Reused: t.Reused, TookSeconds: t.Took.Seconds(),
	}
	if t.Kind == call.OK && t.GRPC {
		a.Result = t.GRPCStatus.String()
	}
	return a
}

// ResultOf says how an attempt has ended: with a status, or by a kind of failure. A connection that is passed through has no status.
func ResultOf(k call.Kind, status int) string {
	switch {
	case k != call.OK:
		return kindName(k)
	case status > 0:
		return strconv.Itoa(status)
	}
	return "connected"
}

// kindName is how lines name a kind: an upstream's response is not called ok, since it may report an error.
func kindName(k call.Kind) string {
	if k == call.OK {
		return "response"
	}
	return k.String()
}

// ShownMethod is a method as it is shown.
func ShownMethod(b []byte) string { return shown(b, maxMethod) }

// ShownHost is the host as it is shown (routes.ShownHost).
func ShownHost(b []byte) string { return shown(routes.ShownHost(b), maxHost) }

// ShownPath is the path of a target as it is shown (routes.ShownPath).
func ShownPath(target []byte) string { return shown(routes.ShownPath(target), maxPath) }

// shown returns what a client has sent, cut. What is no UTF-8 is replaced.
func shown(b []byte, most int) string {
	return strings.ToValidUTF8(string(b[:min(len(b), most)]), "�")
}
