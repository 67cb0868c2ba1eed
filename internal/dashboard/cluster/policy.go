package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/cli/describe"
	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	maxMerges  = 50
	maxCallers = 100
	maxChanges = 100
)

// Policy implements dashboard.Source.
func (s *Source) Policy(ctx context.Context, name string, since time.Duration) (*model.Policy, error) {
	p, err := s.policies.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, &dashboard.NotFoundError{Err: fmt.Errorf("there is no policy %q: write namespace/name of a RetryPolicy, or the name of a ClusterRetryPolicy", name)}
	}
	out := &model.Policy{
		Part: s.part(), Created: p.Object.GetCreationTimestamp().UTC(), Generation: p.Object.GetGeneration(), InForce: p.Status.InForceGeneration,
		Conditions: []model.Condition{}, Targets: []model.Target{}, Merges: []model.Merge{}, Flows: []liveapi.Flow{}, Changes: []liveapi.Change{},
	}
	traffic, err := s.trafficNow(ctx)
	note(&out.Part, noFigures, err)
	out.PolicyRow = rowOf(p, traffic)
	s.addStatus(out, p, traffic[name])
	d, err := s.described.get(p, func() (*describe.Description, error) { return describe.Of(ctx, s.opts.Env, s.opts.Client, p) })
	note(&out.Part, "What the policy comes to cannot be worked out", err)
	if err == nil {
		addDescription(out, d)
	}
	calls, err := s.inventory(ctx, since, maxCallers, map[string]string{"policy": name})
	note(&out.Part, noInventory, err)
	if out.Series = seriesOf(calls); calls != nil {
		out.Flows = calls.Flows
	}
	changes, err := s.changes(ctx, dashboard.ChangesQuery{Since: since, Policy: name, Limit: maxChanges})
	note(&out.Part, "What has changed cannot be read", err)
	out.Changes = append(out.Changes, changes[:min(len(changes), maxChanges)]...)
	return out, nil
}

// addStatus adds what the policy's status says.
func (s *Source) addStatus(out *model.Policy, p *kube.Policy, traffic []liveapi.Traffic) {
	for _, c := range p.Status.Conditions {
		out.Conditions = append(out.Conditions, model.Condition{
			Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime.UTC(),
		})
	}
	if n := p.Status.Nodes; n != nil {
		for _, f := range n.Failures {
			out.NodeFailures = append(out.NodeFailures, model.NodeFailure{Node: f.Node, Reason: f.Reason, Message: f.Message})
		}
	}
	for i := range p.Status.Destinations {
		d := &p.Status.Destinations[i]
		t := model.Target{To: d.To, Protocol: string(d.Protocol), Enforced: string(d.Enforced), Breaker: breakerStates[d.Breaker], TLSFailures: d.TLSFailures}
		if d.Endpoints != nil {
			n := int(*d.Endpoints)
			t.Endpoints = &n
		}
		if d.Ejected != nil {
			t.Ejected = int(*d.Ejected)
		}
		addTraffic(&t, trafficAt(traffic, d.To))
		out.Targets = append(out.Targets, t)
	}
}

// trafficAt returns that at a destination as status names it: the same without the word for its kind, and with ports.
func trafficAt(traffic []liveapi.Traffic, to string) *liveapi.Traffic {
	for i := range traffic {
		name := traffic[i].Target
		if _, rest, ok := strings.Cut(name, " "); ok {
			name = rest
		}
		if to == name || strings.HasPrefix(to, name+":") || strings.HasPrefix(to, name+" ports ") {
			return &traffic[i]
		}
	}
	return nil
}

func addTraffic(t *model.Target, now *liveapi.Traffic) {
	if now == nil {
		return
	}
	t.Figures = sum([]liveapi.Traffic{*now})
	t.BreakersOpen, t.BreakerSeconds, t.Connections = now.BreakersOpen, now.BreakerSeconds, now.Connections
	if t.Breaker != "" {
		t.Breaker = breakerOf(now)
	}
	t.Ejected = max(t.Ejected, now.Ejected)
}

// addDescription adds what the policy comes to.
func addDescription(out *model.Policy, d *describe.Description) {
	out.Selects, out.Refused = d.Selects, d.Refused
	for _, n := range d.Notes {
		note(&out.Part, "Note", errors.New(n))
	}
	for _, u := range d.Unenforced {
		out.NotEnforced = append(out.NotEnforced, model.Unenforced{Field: u.Field, Reason: u.Reason, Destination: u.Destination})
	}
	for i := range d.Merges {
		if i == maxMerges {
			out.MergesLeftOut = len(d.Merges) - i
			break
		}
		m := &d.Merges[i]
		of := model.Merge{
			Destination: m.Destination, Policies: m.Policies, DryRun: m.DryRun, Pods: m.Pods, AllPods: m.AllPods, Fields: fields(m.Fields),
		}
		for _, r := range m.Rules {
			of.Rules = append(of.Rules, model.Rule{Name: r.Name, Fields: fields(r.Fields)})
		}
		out.Merges = append(out.Merges, of)
	}
}

func fields(all []effective.Field) []model.Field {
	out := make([]model.Field, len(all))
	for i, f := range all {
		out[i] = model.Field{Path: f.Path, Value: f.Value, Source: f.Source, Default: f.Default}
	}
	return out
}
