package steps

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// watcher shows one call. It belongs to whatever the call belongs to.
type watcher struct {
	// immutable
	made          bool // to be traced
	route         *routes.Route
	plan          *routes.Plan
	pod, workload string

	trace atomic.Pointer[Trace] // nil: it is closed

	began   time.Time
	last    time.Time // of the steps so far: drivers read the clock before they report
	steps   int
	leftOut int
	ended   bool
}

var _ drive.Watcher = (*watcher)(nil)

func newWatcher(t *Trace, w *drive.Watchable, pod, workload string) *watcher {
	of := &watcher{made: t.want.Mark != "", route: w.Route, plan: w.Plan, pod: pod, workload: workload}
	of.trace.Store(t)
	return of
}

// callOf returns what is shown of a call that begins.
func callOf(w *drive.Watchable, pod, workload string) *liveapi.TraceCall {
	b := w.Route.Source()
	c := &liveapi.TraceCall{
		Pod: pod, Workload: workload, Policy: b.Policy.String(), Target: b.To.String(), Destination: w.Route.Destination(), Rule: w.Plan.Rule,
		Mode: b.Mode.String(), Protocol: "HTTP", To: w.Client.Original, Merged: []string{},
		Method: taps.ShownMethod(w.View.Method()), Host: taps.ShownHost(w.View.Host()), Path: taps.ShownPath(w.View.Target()),
	}
	for _, id := range b.Merged {
		c.Merged = append(c.Merged, id.String())
	}
	switch {
	case w.GRPC:
		c.Protocol = "gRPC"
	case len(w.View.Method()) == 0:
		c.Protocol = "TCP"
	}
	return c
}

// Step implements call.Observer.
func (w *watcher) Step(s *call.Step) {
	trace := w.trace.Load()
	switch {
	case w.ended || trace == nil:
		return
	case s.What == call.Begins:
		w.began = s.At
	}
	if s.At.Before(w.last) {
		s.At = w.last
	}
	w.last = s.At
	if w.steps++; w.steps > maxSteps {
		w.leftOut++
		return
	}
	trace.lines <- liveapi.TraceLine{At: s.At, Step: w.shown(s)}
}

// Done implements drive.Watcher.
func (w *watcher) Done(e *routes.Exchange) {
	trace := w.trace.Load()
	if w.ended || trace == nil {
		return
	}
	w.ended = true
	b := w.route.Source()
	c := taps.CallOf(e, b.Policy, b.To.String())
	c.Pod, c.Workload = w.pod, w.workload
	trace.lines <- liveapi.TraceLine{At: time.Now(), End: c, LeftOut: w.leftOut}
	close(trace.lines)
}

// Made implements drive.Watcher.
func (w *watcher) Made() bool { return w.made }

// limits are the fields of a policy that deadlines come from. The table is never written to.
var limits = map[call.Limit]string{
	call.LimitOverall: "timeouts.overall", call.LimitClient: "client deadline", call.LimitMaxDuration: "timeouts.maxDuration",
	call.LimitPerTry: "timeouts.perTry", call.LimitResponseHeader: "timeouts.responseHeader", call.LimitAdaptive: "timeouts.adaptive",
}

// shown returns what is shown of a step.
func (w *watcher) shown(s *call.Step) *liveapi.TraceStep {
	n := name(s.What)
	out := &liveapi.TraceStep{
		AfterSeconds: max(s.At.Sub(w.began).Seconds(), 0), Step: n.step, Result: n.result, Attempt: s.Attempt, Endpoint: s.Endpoint, Limit: limits[s.Limit],
		Seconds: s.For.Seconds(), Detail: s.Detail, Reused: s.Reused, TLSSeconds: s.Handshake.Seconds(),
	}
	switch s.What {
	case call.Begins:
		out.Methods, out.Keyed, out.Body, out.Retried = classes[s.Request.Method], s.Request.Keyed, s.Request.HasBody, s.Request.Retried
	case call.GatePassed, call.GateWaits, call.GateRefuses:
		out.Limit = string(w.plan.Gate(s.Gate))
	case call.BreakerAllows:
		if s.Probe {
			out.Result = "probe"
		}
	case call.Starts:
		out.Result = s.Start.String()
	case call.Chosen:
		w.choose(out, s)
	case call.Judged:
		out.Result = resultOf(s)
		out.Class = &liveapi.TraceClass{Good: s.Class.Good, Retryable: s.Class.Retryable, BreakerFails: s.Class.BreakerFails, Unsent: s.Class.Unsent}
	case call.Decided:
		out.Result, out.Retries, out.MaxRetries = decision(s), s.Retries, s.MaxRetries
		out.BackoffSeconds, out.WishSeconds = s.Backoff.Seconds(), s.Wish.Seconds()
	case call.Ended:
		out.Result = resultOf(s)
	case call.Ends, call.Finishes:
		out.Result, out.Decision = resultOf(s), s.Decision.String()
	default:
	}
	return out
}

func (w *watcher) choose(out *liveapi.TraceStep, s *call.Step) {
	out.Result = "new"
	if s.Reused {
		out.Result = "reused"
	}
	if c, ok := s.Choice.(*upstreamChoice); ok {
		out.Choice = &liveapi.TraceChoice{
			By: c.By, Endpoints: c.Hosts, Unreachable: c.Unreachable, Ejected: c.Ejected, Used: c.Avoided, Outstanding: c.Outstanding, Full: c.Full,
		}
	}
}

// decision is what was decided: a retry, or why there is none.
func decision(s *call.Step) string {
	if s.Decision == call.NotNeeded {
		return call.Retry.String()
	}
	return s.Decision.String()
}

// resultOf says how an attempt or a call has ended: with a gRPC status, a status, or a kind of failure.
func resultOf(s *call.Step) string {
	if s.Kind == call.OK && s.GRPC >= 0 {
		return policy.GRPCStatus(s.GRPC).String()
	}
	return taps.ResultOf(s.Kind, s.Status)
}
