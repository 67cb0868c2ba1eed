package taps

import (
	"bytes"
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

// callOf returns what a tap shows of a call. Queries, header fields and bodies are not among it: they hold secrets.
func callOf(e *routes.Exchange, id policy.ID, target string) *liveapi.Call {
	o := &e.Outcome
	c := &liveapi.Call{
		Policy: id.String(), Target: target, Rule: e.Rule, To: e.Original, Status: o.Status,
		Method: shown(e.Method, maxMethod), Host: shown(e.Host, maxHost), Path: shown(withoutQuery(e.Path), maxPath),
		Kind: kindName(o.Kind), Decision: o.Decision.String(), Detail: string(e.Detail), Truncated: o.Truncated,
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
		Endpoint: t.Peer, Start: t.Start.String(), Result: kindName(t.Kind), Detail: string(t.Detail), Reused: t.Reused, TookSeconds: t.Took.Seconds(),
	}
	switch {
	case t.Kind != call.OK:
	case t.GRPC:
		a.Result = t.GRPCStatus.String()
	case t.Status > 0:
		a.Result = strconv.Itoa(t.Status)
	default: // of a connection that is passed through
		a.Result = "connected"
	}
	return a
}

// kindName is how lines name a kind: an upstream's response is not called ok, since it may report an error.
func kindName(k call.Kind) string {
	if k == call.OK {
		return "response"
	}
	return k.String()
}

// shown returns what a client has sent, cut. What is no UTF-8 is replaced.
func shown(b []byte, most int) string {
	return strings.ToValidUTF8(string(b[:min(len(b), most)]), "�")
}

func withoutQuery(path []byte) []byte {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		return path[:i]
	}
	return path
}
