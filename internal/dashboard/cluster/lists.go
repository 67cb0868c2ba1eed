package cluster

import (
	"context"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/doctor"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/status"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const noFigures = "No figures of calls can be read"

// Policies implements dashboard.Source.
func (s *Source) Policies(ctx context.Context) (*model.Policies, error) {
	all, notes, err := s.policies.sorted(ctx)
	if err != nil {
		return nil, err
	}
	out := &model.Policies{Part: s.part(), Items: make([]model.PolicyRow, len(all))}
	out.Notes = notes
	traffic, err := s.trafficNow(ctx)
	note(&out.Part, noFigures, err)
	for i := range all {
		out.Items[i] = rowOf(&all[i], traffic)
	}
	return out, nil
}

// rowOf is a policy in a list.
func rowOf(p *kube.Policy, traffic map[string][]liveapi.Traffic) model.PolicyRow {
	r := model.PolicyRow{Key: p.Key(), Kind: p.Kind, Mode: string(p.Status.Mode), To: p.Status.DestinationSummary, State: model.Ready}
	for i, a := range status.AttentionOf(p) {
		if i == 0 {
			r.Message = a.Message
		}
		r.Reasons = append(r.Reasons, a.Reason)
		r.State = model.Attention
	}
	if len(p.Status.Conditions) == 0 {
		r.State = model.Unseen
	} else if !isReady(p) {
		r.State = model.NotReady
	}
	if n := p.Status.MatchedPods; n != nil {
		r.Pods = int(*n)
	}
	if n := p.Status.Nodes; n != nil {
		r.Nodes, r.Programmed, r.Failed = int(n.Desired), int(n.Programmed), int(n.Failed)
	}
	targets := traffic[r.Key]
	r.Breaker = worst(p, targets)
	if len(targets) > 0 {
		r.Figures = sum(targets)
	}
	return r
}

func isReady(p *kube.Policy) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == "True"
		}
	}
	return false
}

// worst is the worst state of a policy's breakers: as agents report it now, or as its status says if none does.
func worst(p *kube.Policy, targets []liveapi.Traffic) string {
	state := ""
	for i := range p.Status.Destinations {
		state = worse(state, breakerStates[p.Status.Destinations[i].Breaker])
	}
	if state == "" || len(targets) == 0 {
		return state
	}
	state = closed
	for i := range targets {
		state = worse(state, breakerOf(&targets[i]))
	}
	return state
}

// The states of breakers, as the pages have them.
const (
	open     = "open"
	halfOpen = "half_open"
	closed   = "closed"
)

// breakerStates are the words of policies' status. It is never written to.
var breakerStates = map[v1alpha1.BreakerState]string{
	v1alpha1.BreakerStateOpen: open, v1alpha1.BreakerStateHalfOpen: halfOpen, v1alpha1.BreakerStateClosed: closed,
}

func worse(a, b string) string {
	for _, s := range []string{open, halfOpen, closed} {
		if a == s || b == s {
			return s
		}
	}
	return ""
}

func breakerOf(t *liveapi.Traffic) string {
	switch {
	case t.BreakersOpen > 0:
		return open
	case t.BreakersHalfOpen > 0:
		return halfOpen
	}
	return closed
}

// sum adds up the traffic of a policy's destinations. Quantiles cannot be added: the greatest is the worst that callers see.
func sum(targets []liveapi.Traffic) *model.Figures {
	f := &model.Figures{}
	for i := range targets {
		t := &targets[i]
		f.Calls, f.Successes, f.Retries, f.PerSecond = f.Calls+t.Calls, f.Successes+t.Successes, f.Retries+t.Retries, f.PerSecond+t.PerSecond
		f.P50Seconds, f.P99Seconds = max(f.P50Seconds, t.P50Seconds), max(f.P99Seconds, t.P99Seconds)
	}
	return f
}

// Nodes implements dashboard.Source.
func (s *Source) Nodes(ctx context.Context) (*model.Nodes, error) {
	out := &model.Nodes{Part: s.part()}
	all, err := s.nodeList(ctx)
	note(&out.Part, "Nodes cannot be read", err)
	out.Items = append([]liveapi.Node{}, all...)
	return out, nil
}

func (s *Source) nodeList(ctx context.Context) ([]liveapi.Node, error) {
	return s.nodes.get(short, func() ([]liveapi.Node, error) {
		var got liveapi.List[liveapi.Node]
		err := s.ask.Manager(ctx, liveapi.NodesPath, nil, &got)
		return got.Items, err
	})
}

// mostChecked is how many agents are asked how their nodes are: each is a connection through the API server.
const mostChecked = 200

// Problems implements dashboard.Source.
func (s *Source) Problems(ctx context.Context) (*model.Problems, error) {
	report, err := s.problems.get(long, func() (*doctor.Report, error) {
		return doctor.Check(ctx, doctor.Options{Env: s.opts.Env, Client: s.opts.Client, Ask: s.ask.Within(patience), Agents: mostChecked}), nil
	})
	if err != nil {
		return nil, err
	}
	out := &model.Problems{Part: s.part(), Problems: report.Problems, Warnings: report.Warnings, Findings: make([]model.Finding, len(report.Findings))}
	for i, f := range report.Findings {
		out.Findings[i] = model.Finding{Group: f.Group, Result: string(f.Result), What: f.What, Fix: f.Fix, Docs: f.Docs}
	}
	return out, nil
}
