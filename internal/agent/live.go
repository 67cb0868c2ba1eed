package agent

import (
	"cmp"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// livePages are the pages of the live API.
func (a *Agent) livePages() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		liveapi.PoliciesPath: listed(a.opts.Node, func(q *liveapi.Query, _ time.Time) []liveapi.Policy {
			return ofPolicy(q, livePolicies(a.client.Snapshot()), func(p *liveapi.Policy) string { return p.Policy })
		}),
		liveapi.BreakersPath: listed(a.opts.Node, func(q *liveapi.Query, now time.Time) []liveapi.Breaker {
			return ofPolicy(q, a.liveBreakers(now), func(b *liveapi.Breaker) string { return b.Policy })
		}),
		liveapi.EndpointsPath: listed(a.opts.Node, func(q *liveapi.Query, now time.Time) []liveapi.Endpoints {
			return ofPolicy(q, a.liveEndpoints(now), func(e *liveapi.Endpoints) string { return e.Policy })
		}),
		liveapi.LimitsPath: listed(a.opts.Node, func(q *liveapi.Query, _ time.Time) []liveapi.Limit {
			return ofPolicy(q, a.liveLimits(), func(l *liveapi.Limit) string { return l.Policy })
		}),
		liveapi.CapturePath: listed(a.opts.Node, func(*liveapi.Query, time.Time) []liveapi.Capture { return liveCaptures(a.capture.Wanted()) }),
		liveapi.NodePath:    liveapi.InTurn(a.nodePage),
		liveapi.TapPath:     a.taps.Handler(a.opts.Node),
		liveapi.TracePath:   a.traces.Handler(a.opts.Node),
	}
}

// listed answers with what read returns, for one reader at a time.
func listed[T any](node string, read func(q *liveapi.Query, now time.Time) []T) http.HandlerFunc {
	return liveapi.InTurn(func(w http.ResponseWriter, r *http.Request) {
		q := liveapi.ParseQuery(r, "policy")
		if err := q.Err(); err != nil {
			liveapi.Refuse(w, http.StatusBadRequest, err)
			return
		}
		now := time.Now()
		items := read(q, now)
		if items == nil {
			items = []T{}
		}
		liveapi.Answer(w, liveapi.List[T]{Node: node, At: now, Items: items})
	})
}

// ofPolicy returns the items of the policy that a query asks for; of all, if it asks for none.
func ofPolicy[T any](q *liveapi.Query, all []T, of func(*T) string) []T {
	want := q.Text("policy")
	if want == "" {
		return all
	}
	return slices.DeleteFunc(all, func(x T) bool { return of(&x) != want })
}

// policyKey names a destination of a policy in one mode.
type policyKey struct {
	policy policy.ID
	target string
	mode   policy.Mode
}

// livePolicies lists what is in force, each destination of a policy once.
func livePolicies(s *policy.Snapshot) []liveapi.Policy {
	pods := map[string][]string{}
	for _, w := range s.Workloads {
		pods[w.Profile] = append(pods[w.Profile], w.Namespace+"/"+w.Name)
	}
	found := map[policyKey]*liveapi.Policy{}
	for _, p := range s.Profiles {
		for i := range p.Bindings {
			b := &p.Bindings[i]
			k := policyKey{b.Policy, b.To.String(), b.Mode}
			l := found[k]
			if l == nil {
				l = &liveapi.Policy{Policy: b.Policy.String(), Target: k.target, Mode: b.Mode.String(), Merged: []string{}, Pods: []string{}}
				found[k] = l
			}
			l.Pods = append(l.Pods, pods[p.Name]...)
			for _, id := range b.Merged {
				l.Merged = addOnce(l.Merged, id.String())
			}
			for j := range b.Rules {
				l.Rules = addOnce(l.Rules, b.Rules[j].Name)
			}
		}
	}
	all := make([]liveapi.Policy, 0, len(found))
	for l := range maps.Values(found) {
		slices.Sort(l.Pods)
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b liveapi.Policy) int {
		return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Mode, b.Mode))
	})
	return all
}

func addOnce(all []string, s string) []string {
	if s == "" || slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

// liveBreakers lists the breakers of whole destinations.
func (a *Agent) liveBreakers(now time.Time) []liveapi.Breaker {
	states := a.routes.Breakers(now)
	all := make([]liveapi.Breaker, len(states))
	for i := range states {
		s := &states[i]
		all[i] = liveapi.Breaker{
			Policy: s.Policy.String(), Target: s.Target, Destination: s.Destination, Rule: s.Rule, Pod: a.podName(s.Pod), PassedThrough: s.Opaque,
			DryRun: s.Shadow, State: s.State.String(), Since: s.Since, Until: s.Until, Opened: s.Opened,
		}
		if s.State != resilience.Closed {
			all[i].OpenedBy = openedBy[s.OpenedBy]
		}
	}
	return all
}

// openedBy names what keeps a breaker open. The table is never written to.
var openedBy = map[resilience.OpenedBy]string{resilience.ByNode: "node", resilience.ByCluster: "cluster", resilience.ByHand: "annotation"}

// podName names a pod; by its UID where it is not known, and empty for none.
func (a *Agent) podName(uid string) string {
	if uid == "" {
		return ""
	}
	name, _ := a.pod(uid)
	return cmp.Or(name, uid)
}

// liveEndpoints lists the endpoints of all concrete destinations.
func (a *Agent) liveEndpoints(now time.Time) []liveapi.Endpoints {
	states := a.routes.Endpoints(now)
	all := make([]liveapi.Endpoints, len(states))
	for i := range states {
		all[i] = a.endpointsOf(&states[i])
	}
	return all
}

// endpointsOf joins what is known of the hosts of a destination with how they are judged.
func (a *Agent) endpointsOf(s *routes.DestinationState) liveapi.Endpoints {
	of := liveapi.Endpoints{Policy: s.Policy.String(), Destination: s.Destination, Endpoints: []liveapi.Endpoint{}}
	at := map[netip.AddrPort]int{}
	for _, h := range s.Hosts {
		at[h.Address] = len(of.Endpoints)
		of.Endpoints = append(of.Endpoints, liveapi.Endpoint{Address: h.Address, Outstanding: h.Outstanding, FailureWeight: h.FailureWeight})
	}
	for _, j := range s.Judged {
		i, known := at[j.Address]
		if !known {
			i = len(of.Endpoints)
			at[j.Address] = i
			of.Endpoints = append(of.Endpoints, liveapi.Endpoint{Address: j.Address})
		}
		of.Endpoints[i].Judged = append(of.Endpoints[i].Judged, liveapi.EndpointBreaker{
			State: j.State, Since: j.Since, Until: j.Until, Weight: j.Weight, Ejections: j.Ejections,
			Rule: j.Rule, Pod: a.podName(j.Pod), PassedThrough: j.Opaque,
		})
	}
	slices.SortFunc(of.Endpoints, func(a, b liveapi.Endpoint) int { return a.Address.Compare(b.Address) })
	return of
}

// liveLimits lists the limits of all concrete destinations.
func (a *Agent) liveLimits() []liveapi.Limit {
	states := a.routes.Limits()
	all := make([]liveapi.Limit, len(states))
	for i := range states {
		s := &states[i]
		all[i] = liveapi.Limit{
			Policy: s.Policy.String(), Target: s.Target, Destination: s.Destination, Rule: s.Rule, Pod: a.podName(s.Pod), Kind: "Concurrency",
			Scope: s.Scope.String(), Max: s.Max, Here: s.Here, Adaptive: s.Adaptive, InUse: s.Running, Waiting: s.Waiting,
		}
		if s.Rate {
			all[i].Kind = "Rate"
		}
	}
	return all
}

// liveCaptures lists the captures of the node's pods.
func liveCaptures(states []capture.PodState) []liveapi.Capture {
	all := make([]liveapi.Capture, len(states))
	for i := range states {
		s := &states[i]
		all[i] = liveapi.Capture{
			Pod: s.Pod.Namespace + "/" + s.Pod.Name, UID: s.Pod.UID, Captured: s.Captured, Problem: s.Problem,
			Connections: s.Connections, Older: s.Older, OlderTo: s.OlderTo, Foreign: s.Foreign,
			State: captureState(s), Since: s.Since, Reason: s.Reason, Policies: names(s.Policies),
		}
	}
	return all
}

// captureState says how far a capture is.
func captureState(s *capture.PodState) liveapi.CaptureState {
	switch {
	case !s.Wanted:
		return liveapi.CaptureEnds
	case !s.Found:
		return liveapi.CaptureAwaited
	case s.Superseded:
		return liveapi.CaptureElsewhere
	case s.Problem != "":
		return liveapi.CaptureFailed
	case s.Captured:
		return liveapi.CaptureDone
	}
	return liveapi.CaptureBegun
}
