package distribute

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Report serves one report stream.
func (v *Server) Report(stream wire.ReportServer) error {
	ctx := stream.Context()
	g, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	store, agent := v.opts.Store, agentID{node: g.Node, agent: g.PodUID}
	store.traffic.streamStarted(agent)
	defer func() { store.markPoliciesChanged(agent.node, store.traffic.streamEnded(agent, time.Now())) }()
	expiry := g.expiry()
	defer expiry.Stop()
	inbox := v.receiveReports(stream)
	for {
		select {
		case m := <-inbox:
			if m.err != nil {
				return statusOf(m.err)
			}
			store.observe(agent, m.report)
			// This blocks only for an agent that left thousands of acks unread, and holds up nobody but that agent.
			if err := stream.Ack(m.report.Sequence); err != nil {
				return err
			}
		case <-g.stopped:
			return status.Error(codes.Unavailable, "this replica no longer leads")
		case <-expiry.C:
			return status.Error(codes.Unauthenticated, "the token has expired")
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

type reportMessage struct {
	report wire.Report
	err    error
}

func (v *Server) receiveReports(stream wire.ReportServer) <-chan reportMessage {
	inbox := make(chan reportMessage)
	ctx := stream.Context()
	v.wg.Go(func() {
		for {
			r, err := stream.Recv()
			select {
			case inbox <- reportMessage{r, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	return inbox
}

// observe counts a report, as far as it speaks of policies that the agent's node has.
func (s *Store) observe(a agentID, r wire.Report) {
	o := &observation{agent: a, instance: r.Instance, sequence: r.Sequence, at: s.traffic.at(time.Now()), age: r.Age, report: &r.Body}
	o.allowed, o.policies = s.reportable(a.node, &r.Body)
	s.markPoliciesChanged(a.node, s.traffic.add(o))
}

// reportable returns the destinations and the policies that an agent of a node is heard on: those that the node has. The policies are needed
// for what a report says of pods alone.
func (s *Store) reportable(nodeName string, r *policy.Report) (keys map[trafficKey]struct{}, policies policySet) {
	ofPods := len(r.Problems)+len(r.Notices)+len(r.Older) > 0
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeName]
	if n == nil {
		return nil, nil
	}
	keys = map[trafficKey]struct{}{}
	for name := range n.profiles {
		p := s.profiles[name]
		maps.Copy(keys, p.keys)
		if ofPods {
			for _, of := range p.policies {
				policies.add(of.id)
			}
		}
	}
	return keys, policies
}

// markPoliciesChanged announces the profiles of a node that are drawn from one of the policies: a breaker has opened or closed there, or something
// else is known of the node's pods. Figures are not announced: whoever shows them comes for them.
func (s *Store) markPoliciesChanged(nodeName string, changed policySet) {
	if len(changed) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeName]
	if n == nil {
		return
	}
	for name := range n.profiles {
		if slices.ContainsFunc(s.profiles[name].policies, func(of *policyRollout) bool {
			_, ok := changed[of.id]
			return ok
		}) {
			s.changed.add(name)
		}
	}
}
