package suggest

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// Bounds below which nothing is suggested: percentiles of fewer calls are the chance of the moment, and what happens in a shorter time is one situation.
const (
	minCalls = 500
	minTime  = 10 * time.Minute
	// minStep is how many calls a step needs for its percentile to count.
	minStep = 20
)

// evidence is what was observed of the calls of one workload to one destination.
type evidence struct {
	namespace, workload string
	// flow has the sums of all flows to the destination.
	flow liveapi.Flow
	// policies are those that governed, or looked at, the calls.
	policies []string
	// over is the time in which there were calls: from the first step with some to the last.
	over time.Duration
	// worstP99 is that of the worst step with minStep calls; 0: there was none. steps is how many had.
	worstP99 time.Duration
	steps    int
	// peak is the most calls per second of a step, and atOnce how many were under way then if each took its step's 99th percentile.
	peak, atOnce float64
	// pods is how many the workload has; 0: not known.
	pods int
	// labels select them; nil: not known.
	labels map[string]string
	sample sample
	// name is that of the policy; empty: as nameOf says. mixed: several protocols are spoken there. instead has more calls to the same destination for a
	// policy; nil: none has.
	name    string
	mixed   bool
	instead *liveapi.Flow
}

// sample is what a tap has shown.
type sample struct {
	calls int
	// methods and results count calls by method, and attempts that failed by status or kind.
	methods, results map[string]int
	// failed counts attempts that have failed.
	failed int
}

// gathered joins the flows of each destination.
func gathered(i *liveapi.Inventory) []*evidence {
	of := map[string]*evidence{}
	for n := range i.Flows {
		f := &i.Flows[n]
		e := of[f.Destination+" "+f.Protocol]
		if e == nil {
			e = &evidence{namespace: f.Namespace, workload: f.Workload, flow: liveapi.Flow{Destination: f.Destination, Service: f.Service, Protocol: f.Protocol}}
			of[f.Destination+" "+f.Protocol] = e
		}
		e.add(f)
	}
	var all []*evidence
	for _, key := range slices.Sorted(maps.Keys(of)) {
		of[key].weigh(time.Duration(i.StepSeconds * float64(time.Second)))
		all = append(all, of[key])
	}
	return all
}

// add adds a flow to the sums. Percentiles of sums are not known: the larger counts.
func (e *evidence) add(f *liveapi.Flow) {
	t := &e.flow
	t.Calls, t.Successes, t.Retries = t.Calls+f.Calls, t.Successes+f.Successes, t.Retries+f.Retries
	t.P50Seconds, t.P99Seconds = max(t.P50Seconds, f.P50Seconds), max(t.P99Seconds, f.P99Seconds)
	if f.Policy != "" && !slices.Contains(e.policies, f.Policy) {
		e.policies = append(e.policies, f.Policy)
	}
	for n, p := range f.Points {
		if n == len(t.Points) {
			t.Points = append(t.Points, liveapi.Point{})
		}
		q := &t.Points[n]
		q.Calls, q.Successes = q.Calls+p.Calls, q.Successes+p.Successes
		q.P99Seconds = max(q.P99Seconds, p.P99Seconds)
	}
}

// weigh works out what the points say.
func (e *evidence) weigh(step time.Duration) {
	first, last := -1, -1
	for n, p := range e.flow.Points {
		if p.Calls == 0 {
			continue
		}
		if last = n; first < 0 {
			first = n
		}
		rate := float64(p.Calls) / step.Seconds()
		e.peak, e.atOnce = max(e.peak, rate), max(e.atOnce, rate*p.P99Seconds)
		if p.Calls >= minStep {
			e.steps++
			e.worstP99 = max(e.worstP99, time.Duration(p.P99Seconds*float64(time.Second)))
		}
	}
	if first >= 0 {
		e.over = time.Duration(last-first+1) * step
	}
}

// failures is the share of calls that have failed, from 0 to 1.
func (e *evidence) failures() float64 {
	if e.flow.Calls == 0 {
		return 0
	}
	return 1 - float64(e.flow.Successes)/float64(e.flow.Calls)
}

// perPod divides among the pods of the workload. That some have twice the share of others is allowed for.
func (e *evidence) perPod(n float64) int32 {
	if e.pods > 1 {
		n = 2 * n / float64(e.pods)
	}
	return int32(min(math.Ceil(n), 65535))
}

// opaque reports whether each connection is a call.
func (e *evidence) opaque() bool { return e.flow.Protocol == "TLS" || e.flow.Protocol == "TCP" }

// add counts a call of a tap, if it is to the destination.
func (s *sample) add(c *liveapi.Call) {
	if s.methods == nil {
		s.methods, s.results = map[string]int{}, map[string]int{}
	}
	s.calls++
	s.methods[c.Method]++
	for _, t := range c.Tried {
		if failed(t.Result) {
			s.failed++
			s.results[t.Result]++
		}
	}
}

// failed reports whether an attempt has failed by its result: a kind of failure, a status of the server's, or a gRPC status that is not OK.
func failed(result string) bool {
	switch result {
	case "connected", "response", "OK", "superseded", "client_gone":
		return false
	}
	return len(result) != 3 || result[0] == '5' || result == "429" || !strings.ContainsAny(result[:1], "1234")
}

// unsafe counts the sampled calls whose methods are not idempotent by the registry.
func (s *sample) unsafe() (n int) {
	for m, k := range s.methods {
		switch m {
		case "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH", "":
		default:
			n += k
		}
	}
	return n
}

// share is how many of the failed attempts have ended in one of some ways.
func (s *sample) share(results ...string) (n int) {
	for _, r := range results {
		n += s.results[r]
	}
	return n
}
