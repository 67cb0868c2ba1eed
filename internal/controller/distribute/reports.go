package distribute

import (
	"maps"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

// Report serves one report stream.
func (v *Server) Report(stream wire.ReportServer) error {
	ctx := stream.Context()
	g, ok := ctx.Value(guestKey{}).(guest)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	store, agent := v.opts.Store, agentID{node: g.Node, agent: g.PodUID}
	store.traffic.join(agent)
	defer func() { store.announce(agent.node, store.traffic.leave(agent, time.Now())) }()
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
		case <-g.shut:
			return status.Error(codes.Unavailable, "this replica no longer leads")
		case <-expiry.C:
			return status.Error(codes.Unauthenticated, "the token has expired")
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

type reportMail struct {
	report wire.Report
	err    error
}

func (v *Server) receiveReports(stream wire.ReportServer) <-chan reportMail {
	inbox := make(chan reportMail)
	ctx := stream.Context()
	v.wg.Go(func() {
		for {
			r, err := stream.Recv()
			select {
			case inbox <- reportMail{r, err}:
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
	o := &observation{
		agent: a, instance: r.Instance, sequence: r.Sequence, at: s.traffic.at(time.Now()), age: r.Age, report: &r.Body, allowed: s.keysOf(a.node),
	}
	s.announce(a.node, s.traffic.add(o))
}

// announce announces the profiles of a node that have one of the policies: a breaker has opened or closed there, or something else is
// known of the node's pods. Figures are not announced: whoever shows them comes for them.
func (s *Store) announce(nodeName string, changed policySet) {
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
		for k := range s.profiles[name].keys {
			if _, ok := changed[k.policy]; ok {
				s.news.add(name)
				break
			}
		}
	}
}

// keysOf returns the destinations of policies that the node has.
func (s *Store) keysOf(nodeName string) map[trafficKey]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeName]
	if n == nil {
		return nil
	}
	keys := map[trafficKey]struct{}{}
	for name := range n.profiles {
		maps.Copy(keys, s.profiles[name].keys)
	}
	return keys
}
