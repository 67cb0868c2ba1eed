package distribute

import (
	"context"
	"slices"
	"sync"
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
	c := &reportCounter{store: store, agent: agent}
	defer c.end()
	expiry := p.expiry()
	defer expiry.Stop()
	ended := make(chan error, 1)
	v.wg.Go(func() { ended <- c.receiveAll(stream) }) // the handler's return ends it
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

// reportCounter counts the reports of one stream.
type reportCounter struct {
	store *Store
	agent agentID

	mu    sync.Mutex
	ended bool // guarded by mu: what comes now would stay, for there is nobody to take it back
}

// end ends the counting. What was received and not counted is not acknowledged, so the agent sends it again.
func (c *reportCounter) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.store.markPoliciesChanged(c.agent.node, c.store.traffic.streamEnded(c.agent, time.Now()))
}

// receiveAll counts reports until the stream ends.
func (c *reportCounter) receiveAll(stream wire.ReportServer) error {
	for {
		if err := c.receive(stream); err != nil {
			return err
		}
	}
}

// receive counts one report. It keeps nothing of it: the next one may take long to come.
func (c *reportCounter) receive(stream wire.ReportServer) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	if !c.count(r) {
		return context.Canceled
	}
	// This blocks only for an agent that left thousands of acks unread, and holds up nobody but that agent.
	return stream.Ack(wire.ReportAck{Sequence: r.Sequence, Interval: c.store.reportInterval(), TakesFlows: c.store.opts.Flows != nil})
}

// count counts a report unless the counting has ended.
func (c *reportCounter) count(r wire.Report) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.store.observe(c.agent, r)
	}
	return !c.ended
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
	changed, counted := s.traffic.add(o)
	s.markPoliciesChanged(a.node, changed)
	if counted && s.opts.Flows != nil && o.age < Window {
		s.opts.Flows(time.Now(), r.Body.Flows)
	}
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
