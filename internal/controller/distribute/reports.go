package distribute

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

// Report serves one report stream.
func (v *Server) Report(stream wire.ReportServer) error {
	ctx := stream.Context()
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	store, agent := v.opts.Store, agentID{node: p.Node, agent: p.PodUID}
	store.traffic.streamStarted(agent)
	defer func() { store.markPoliciesChanged(agent.node, store.traffic.streamEnded(agent, time.Now())) }()
	expiry := p.expiry()
	defer expiry.Stop()
	ended := make(chan error, 1)
	v.wg.Go(func() { ended <- receiveReports(stream, store, agent) }) // the handler's return ends it
	select {
	case err := <-ended:
		return statusOf(err)
	case <-p.stopped:
		return status.Error(codes.Unavailable, "this replica no longer leads")
	case <-expiry.C:
		return status.Error(codes.Unauthenticated, "the token has expired")
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// receiveReports counts reports until the stream ends.
func receiveReports(stream wire.ReportServer, store *Store, agent agentID) error {
	for {
		if err := receiveReport(stream, store, agent); err != nil {
			return err
		}
	}
}

// receiveReport counts one report. It keeps nothing of it: the next one may take long to come.
func receiveReport(stream wire.ReportServer, store *Store, agent agentID) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	store.observe(agent, r)
	// This blocks only for an agent that left thousands of acks unread, and holds up nobody but that agent.
	return stream.Ack(wire.ReportAck{Sequence: r.Sequence, Interval: store.reportInterval()})
}

// observe counts a report, as far as it is about policies that the agent's node has.
func (s *Store) observe(a agentID, r wire.Report) {
	o := &observation{
		agent: a, instance: r.Instance, sequence: r.Sequence, at: s.traffic.at(time.Now()), age: r.Age, covered: r.Covered,
		report: &r.Body, allowed: s.reportableOn(a.node),
	}
	if o.covered <= 0 || o.covered > Window {
		o.covered = bucketSpan
	}
	s.markPoliciesChanged(a.node, s.traffic.add(o))
}

// markPoliciesChanged marks the profiles of a node in which one of the policies has a part as changed: a breaker has opened or closed there,
// or there is something else to know about the node's pods. Changes of counts are not marked: they are read when a status is written.
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
