package cluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	maxBreakers = 200
	maxShares   = 50
	// maxSifted is how many changes of a policy are looked at for those of one destination.
	maxSifted = 1000
	// minKept is for how long a manager has to have kept calls before what is not among them counts as not called: a new leader hears of them as agents
	// connect to it and report.
	minKept = 5 * time.Minute
)

// Destination implements dashboard.Source.
func (s *Source) Destination(ctx context.Context, name string, since time.Duration) (*model.Destination, error) {
	out := &model.Destination{
		Part: s.part(), Name: name, Flows: []liveapi.Flow{}, Endpoints: []model.Endpoint{}, Breakers: []model.NodeBreaker{}, Limits: []model.Limit{},
		Timeline: []liveapi.Change{},
	}
	calls, err := s.inventory(ctx, since, maxCallers, map[string]string{"destination": name, "exact": "true"})
	note(&out.Part, noInventory, err)
	if out.Series = seriesOf(calls); calls != nil {
		out.Flows, out.Total = calls.Flows, figuresOf(&calls.Total)
	}
	var policies, namespaces []string
	for i := range out.Flows {
		f := &out.Flows[i]
		out.Service = cmp.Or(out.Service, f.Service)
		policies, namespaces = append(policies, f.Policy), append(namespaces, f.Namespace)
	}
	slices.Sort(policies)
	slices.Sort(namespaces)
	s.addTimeline(ctx, out, since)
	s.askAgents(ctx, out, slices.Compact(policies), slices.Compact(namespaces))
	if calls != nil && isUnknown(out) {
		hour, err := s.inventory(ctx, time.Hour, 1, map[string]string{"destination": name, "exact": "true"})
		if err == nil && len(hour.Flows) == 0 {
			if err := unheardOf(out, hour); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// isUnknown reports whether neither the calls that were looked at have a destination nor the agents that have answered.
func isUnknown(d *model.Destination) bool {
	answered := d.Asked > 0 || d.Agents == 0
	return answered && len(d.Flows)+len(d.Endpoints)+len(d.Breakers)+len(d.Limits)+d.ClosedBreakers == 0
}

// unheardOf is about a destination without calls in the inventory of the last hour. It returns an error where nobody has called it, and notes why that is not
// known where the manager has not kept calls for long enough, or does not keep all of them apart.
func unheardOf(d *model.Destination, hour *liveapi.Inventory) error {
	kept := hour.To.Sub(hour.From)
	over := duration.HumanDuration(kept)
	switch {
	case hour.Other.Calls > 0:
		d.Notes = append(d.Notes, fmt.Sprintf("Whether it is called is not known: of the last %s there are %d calls that the manager does not keep apart", over, hour.Other.Calls))
	case kept < minKept:
		d.Notes = append(d.Notes, fmt.Sprintf("Whether it is called is not known yet: the manager has kept calls for %s", over))
	default:
		return &dashboard.NotFoundError{Err: fmt.Errorf("there is no destination %q that was called within the last %s: write it as the overview has it, such as billing/payments:80", d.Name, over)}
	}
	return nil
}

// addTimeline adds what has changed about the policies that govern calls to the destination, but for the breakers of their other targets.
func (s *Source) addTimeline(ctx context.Context, out *model.Destination, since time.Duration) {
	targets := map[string][]string{} // of each policy, those that the destination is under
	for i := range out.Flows {
		f := &out.Flows[i]
		if !slices.Contains(targets[f.Policy], f.Target) {
			targets[f.Policy] = append(targets[f.Policy], f.Target)
		}
	}
	policies := slices.Sorted(maps.Keys(targets))
	for _, p := range policies[:min(len(policies), 16)] {
		changes, err := s.changes(ctx, dashboard.ChangesQuery{Since: since, Policy: p, Limit: maxSifted})
		note(&out.Part, "What has changed cannot be read", err)
		for _, c := range changes {
			if c.Target == "" || slices.Contains(targets[p], c.Target) {
				out.Timeline = append(out.Timeline, c)
			}
		}
	}
	slices.SortStableFunc(out.Timeline, func(a, b liveapi.Change) int { return b.At.Compare(a.At) })
	out.Timeline = out.Timeline[:min(len(out.Timeline), maxChanges)]
}

// askAgents adds what the agents say whose pods may call the destination.
func (s *Source) askAgents(ctx context.Context, out *model.Destination, policies, namespaces []string) {
	agents, err := s.ask.AgentsOn(ctx, "")
	note(&out.Part, "Endpoints, breakers and limits cannot be read", err)
	if len(namespaces) > 0 {
		agents, err = s.near(ctx, agents, namespaces[:min(len(namespaces), 16)])
		note(&out.Part, "Agents of all nodes are asked", err)
	}
	out.Agents = len(agents)
	agents = agents[:min(len(agents), maxAsked)]
	q := url.Values{}
	if len(policies) == 1 {
		q.Set("policy", policies[0])
	}
	endpoints, failed := ask.Agents[liveapi.List[liveapi.Endpoints]](ctx, s.ask, agents, liveapi.EndpointsPath, q)
	breakers, alsoFailed := ask.Agents[liveapi.List[liveapi.Breaker]](ctx, s.ask, agents, liveapi.BreakersPath, q)
	limits, stillFailed := ask.Agents[liveapi.List[liveapi.Limit]](ctx, s.ask, agents, liveapi.LimitsPath, q)
	for _, errs := range [][]error{failed, alsoFailed, stillFailed} {
		for i, err := range errs {
			if i < 3 {
				note(&out.Part, "An agent is not among what follows", err)
			}
		}
	}
	out.Asked = len(endpoints)
	out.Endpoints = mergeEndpoints(endpoints, out.Name)
	out.Breakers, out.ClosedBreakers, out.BreakersLeftOut = mergeBreakers(breakers, out.Name)
	out.Limits = mergeLimits(limits, out.Name)
}

// mergeEndpoints puts together what agents say of the endpoints of a destination, which an agent lists once for each policy's destination.
func mergeEndpoints(answers []liveapi.List[liveapi.Endpoints], name string) []model.Endpoint {
	all := map[string]*model.Endpoint{}
	judged := map[string]int{}
	for i := range answers {
		states := map[string]string{} // the worst that the agent says of an address
		for _, d := range answers[i].Items {
			if d.Destination != name {
				continue
			}
			for j := range d.Endpoints {
				e := &d.Endpoints[j]
				address := e.Address.String()
				of := all[address]
				if of == nil {
					of = &model.Endpoint{Address: address}
					all[address] = of
				}
				of.Outstanding += e.Outstanding
				judged[address] += len(e.Judged)
				states[address] = worse(states[address], addJudgements(of, e.Judged))
			}
		}
		for address, state := range states {
			countNode(all[address], state)
		}
	}
	return sortedEndpoints(all, judged)
}

// sortedEndpoints returns endpoints, those first that most nodes keep out. judged says how many weights were added for each.
func sortedEndpoints(all map[string]*model.Endpoint, judged map[string]int) []model.Endpoint {
	out := make([]model.Endpoint, 0, len(all))
	for address, e := range all {
		if n := judged[address]; n > 0 {
			e.Weight /= float64(n)
		} else {
			e.Weight = 1
		}
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b model.Endpoint) int {
		return cmp.Or(cmp.Compare(b.Ejected, a.Ejected), cmp.Compare(a.Address, b.Address))
	})
	return out
}

// countNode counts a node where an endpoint has a state; empty: no breaker judges it there.
func countNode(of *model.Endpoint, state string) {
	of.Nodes++
	switch state {
	case open:
		of.Ejected++
	case halfOpen:
		of.Probed++
	}
}

// addJudgements adds how breakers of an agent judge an endpoint, and returns the worst of their states.
func addJudgements(of *model.Endpoint, judged []liveapi.EndpointBreaker) string {
	state := ""
	for i := range judged {
		j := &judged[i]
		state = worse(state, j.State)
		of.Weight += j.Weight
		of.Ejections += j.Ejections
		if j.Since.After(of.Since) {
			of.Since, of.Until = j.Since, j.Until
		}
	}
	return state
}

func afterOthers(dryRun bool) int {
	if dryRun {
		return 1
	}
	return 0
}

// mergeBreakers lists the breakers of a destination that are worth a line, those of dry runs, which reject nothing, last. It counts those that have never been
// open, but for those of dry runs, and those beyond what is listed.
func mergeBreakers(answers []liveapi.List[liveapi.Breaker], name string) (out []model.NodeBreaker, never, leftOut int) {
	out = []model.NodeBreaker{}
	for i := range answers {
		for _, b := range answers[i].Items {
			switch {
			case b.Destination != name:
			case b.State == closed && b.Opened == 0:
				if !b.DryRun {
					never++
				}
			default:
				out = append(out, model.NodeBreaker{Node: answers[i].Node, Breaker: b})
			}
		}
	}
	rank := map[string]int{open: 0, halfOpen: 1, closed: 2}
	slices.SortStableFunc(out, func(a, b model.NodeBreaker) int {
		return cmp.Or(afterOthers(a.DryRun)-afterOthers(b.DryRun), cmp.Compare(rank[a.State], rank[b.State]), b.Since.Compare(a.Since), cmp.Compare(a.Node, b.Node))
	})
	leftOut = max(0, len(out)-maxBreakers)
	return out[:len(out)-leftOut], never, leftOut
}
