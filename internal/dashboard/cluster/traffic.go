package cluster

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	noInventory = "Who calls what cannot be read"
	maxNames    = 4096 // flows whose names are searched
)

// stepOf is how much time each point of a series is about: 60 points at most, of whole slots of the inventory.
func stepOf(since time.Duration) time.Duration {
	const slot = 10 * time.Second
	return max((since/60+slot-1)/slot*slot, slot)
}

// inventory asks the manager, for points of the total alone.
func (s *Source) inventory(ctx context.Context, since time.Duration, limit int, filter map[string]string) (*liveapi.Inventory, error) {
	q := url.Values{"since": {since.String()}, "step": {stepOf(since).String()}, "points": {"total"}, "limit": {strconv.Itoa(limit)}}
	for name, value := range filter {
		if value != "" {
			q.Set(name, value)
		}
	}
	got := &liveapi.Inventory{}
	if err := s.ask.Manager(ctx, liveapi.InventoryPath, q, got); err != nil {
		return nil, err
	}
	if got.Flows == nil {
		got.Flows = []liveapi.Flow{}
	}
	return got, nil
}

func figuresOf(f *liveapi.Flow) model.Figures {
	return model.Figures{
		Calls: f.Calls, PerSecond: f.PerSecond, Successes: f.Successes, Retries: f.Retries, P50Seconds: f.P50Seconds, P99Seconds: f.P99Seconds,
	}
}

func seriesOf(i *liveapi.Inventory) model.Series {
	if i == nil {
		return model.Series{Points: []liveapi.Point{}}
	}
	points := i.Total.Points
	if points == nil && i.StepSeconds > 0 { // there were no calls
		points = make([]liveapi.Point, max(0, int(i.To.Sub(i.From).Seconds()/i.StepSeconds)))
	}
	return model.Series{From: i.From, To: i.To, StepSeconds: i.StepSeconds, Points: points}
}

// Overview implements dashboard.Source.
func (s *Source) Overview(ctx context.Context, q dashboard.OverviewQuery) (*model.Overview, error) {
	out := &model.Overview{Part: s.part(), Series: seriesOf(nil), Flows: []liveapi.Flow{}}
	got, err := s.inventory(ctx, q.Since, q.Limit, map[string]string{
		"namespace": q.Namespace, "workload": q.Workload, "policy": q.Policy, "destination": q.Destination,
	})
	note(&out.Part, noInventory, err)
	if err != nil {
		return out, nil //nolint:nilerr // it is in the notes: what else a page shows is still to be shown
	}
	out.Total, out.Series, out.Flows = figuresOf(&got.Total), seriesOf(got), got.Flows
	out.LeftOut, out.LeftOutCalls, out.Other = got.LeftOut, got.LeftOutCalls, got.Other.Calls
	return out, nil
}

// Changes implements dashboard.Source.
func (s *Source) Changes(ctx context.Context, q dashboard.ChangesQuery) (*model.Changes, error) {
	out := &model.Changes{Part: s.part(), Series: seriesOf(nil), Items: []liveapi.Change{}}
	all, err := s.changes(ctx, q)
	note(&out.Part, "What has changed cannot be read", err)
	if len(all) > q.Limit {
		out.More = true
		all = all[:q.Limit]
	}
	out.Items = append(out.Items, all...)
	calls, err := s.inventory(ctx, q.Since, 1, map[string]string{"policy": q.Policy})
	note(&out.Part, noInventory, err)
	out.Series = seriesOf(calls)
	return out, nil
}

// changes asks the manager for one more than the limit.
func (s *Source) changes(ctx context.Context, q dashboard.ChangesQuery) ([]liveapi.Change, error) {
	query := url.Values{"since": {q.Since.String()}, "limit": {strconv.Itoa(q.Limit + 1)}}
	for name, value := range map[string]string{"policy": q.Policy, "node": q.Node, "kind": q.Kind} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var got liveapi.List[liveapi.Change]
	err := s.ask.Manager(ctx, liveapi.ChangesPath, query, &got)
	return got.Items, err
}

// Cluster implements dashboard.Source.
func (s *Source) Cluster(ctx context.Context) (*model.Cluster, error) {
	out := &model.Cluster{Part: s.part(), Context: s.opts.Context, Server: s.opts.Server, Version: s.opts.Version}
	programs, err := s.programs.get(long, func() (*kube.Components, error) { return s.opts.Env.Components(ctx, s.opts.Client) })
	note(&out.Part, "Whether manager and agents are well cannot be read", err)
	if programs != nil {
		out.Manager, out.Agents = component(&programs.Manager), component(&programs.Agents)
	}
	policies, notes, err := s.policies.sorted(ctx)
	note(&out.Part, "Policies cannot be read", err)
	out.Notes = append(out.Notes, notes...)
	traffic, err := s.trafficNow(ctx)
	note(&out.Part, noFigures, err)
	for i := range policies {
		r := rowOf(&policies[i], traffic)
		out.Names.Policies = append(out.Names.Policies, r.Key)
		out.Policies.All++
		switch r.State {
		case model.Ready:
			out.Policies.Ready++
		case model.Attention, model.NotReady, model.Unseen:
			out.Policies.Attention++
		}
		if r.Breaker == open {
			out.BreakersOpen++
		}
	}
	var all []liveapi.Traffic
	for _, targets := range traffic {
		all = append(all, targets...)
	}
	out.Total = *sum(all)
	s.addNames(ctx, out)
	return out, nil
}

// Breakers implements dashboard.Source.
func (s *Source) Breakers(ctx context.Context) (*model.Breakers, error) {
	out := &model.Breakers{Part: s.part(), Items: []liveapi.Traffic{}}
	traffic, err := s.trafficNow(ctx)
	note(&out.Part, noFigures, err)
	for _, targets := range traffic {
		for i := range targets {
			if t := &targets[i]; t.BreakersOpen+t.BreakersHalfOpen+t.Ejected > 0 {
				out.Items = append(out.Items, *t)
			}
		}
	}
	slices.SortFunc(out.Items, func(a, b liveapi.Traffic) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Target, b.Target))
	})
	return out, nil
}

func component(c *kube.Component) *model.Component {
	return &model.Component{Image: c.Image, Desired: c.Desired, Ready: c.Ready, Updated: c.Updated}
}

// addNames adds the names that the manager knows.
func (s *Source) addNames(ctx context.Context, out *model.Cluster) {
	flows, err := s.names.get(long, func() (*liveapi.Inventory, error) { return s.inventory(ctx, time.Hour, maxNames, nil) })
	note(&out.Part, noInventory, err)
	n := &out.Names
	if flows != nil {
		for i := range flows.Flows {
			f := &flows.Flows[i]
			n.Namespaces = append(n.Namespaces, f.Namespace)
			n.Workloads = append(n.Workloads, f.Namespace+"/"+f.Workload)
			n.Destinations = append(n.Destinations, f.Destination)
		}
	}
	nodes, err := s.nodeList(ctx)
	note(&out.Part, "Nodes cannot be read", err)
	for i := range nodes {
		n.Nodes = append(n.Nodes, nodes[i].Node)
	}
	for _, list := range []*[]string{&n.Namespaces, &n.Policies, &n.Workloads, &n.Destinations, &n.Nodes} {
		slices.SortFunc(*list, cmp.Compare)
		*list = append([]string{}, slices.Compact(*list)...)
	}
}
