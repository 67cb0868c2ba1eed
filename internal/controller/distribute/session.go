package distribute

import (
	"errors"
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// maxAgentsPerNode bounds the agents connected for one node: an upgrade runs the new one beside the old.
const maxAgentsPerNode = 2

// maxDirty bounds the pending changes of one agent. A change to a resource that is pending already costs nothing, so only an agent
// that is far behind gets here; starting over is cheaper then.
const maxDirty = wire.MaxHeld

// smallDirty is how many changes a map of them may have held that is used again: one that held all that a node has would stay as large.
const smallDirty = 8

// maxHeld bounds what an agent is recorded to hold: what its hello lists, and as much again that it was sent.
const maxHeld = 2 * wire.MaxHeld

// Reasons for which the store ends a session.
var (
	errReplaced = errors.New("replaced by a newer stream")
	errOverflow = errors.New("too many pending changes")
	errProtocol = errors.New("protocol broken")
)

// session is one agent's subscription. Guarded by Store.mu but for the channels.
type session struct {
	node  *node
	agent string // UID of the agent's pod
	order uint64 // of connecting

	version string // of the agent, for people

	features wire.Features // that the agent understands

	dirty     map[wire.Ref]struct{}
	held      map[wire.Ref]wire.Version // what the agent holds, as it acknowledged; unknownVersion where that is not known
	rejected  map[wire.Ref]refusal
	sent      *wire.Update // sent and not acknowledged
	sentUpTo  uint64       // the last publication that is in sent
	ackedUpTo uint64       // the last publication up to which the agent acknowledged everything; of no account while idle
	nonce     uint64
	// behindSince is about when the first change came that the agent has not acknowledged, and sentAt when sent was made.
	behindSince, sentAt time.Time

	limits sessionLimits // guarded by limitDivider.mu instead

	urgent   bool // something else than a destination is dirty
	patches  bool // it understands patches, and has applied every one so far
	started  bool // the first update was made
	answered bool // and acknowledged
	ended    bool // gets no more changes

	// Of the breakers that the cluster shares: what the agent is to be sent, whether it knows that it may report, what it has reported on, and which
	// it was sent that are not closed.
	dirtyBreakers, reported, ordered map[policy.BreakerKey]struct{}
	announced                        bool

	wake chan struct{} // size 1: dirty grew
	done chan struct{} // closed when the store ends the session
	err  error         // why; read after done is closed
}

// unknownVersion is recorded where an agent does not say what it holds in place of a version that it refused: perhaps an older one, perhaps
// none. No resource has this version, so whatever is wanted is sent, and if nothing is, the removal.
var unknownVersion wire.Version

// refusal is a rejected version, or a rejected removal.
type refusal struct {
	version wire.Version
	removal bool
	reason  wire.Reason
	message string
}

func (c *session) markDirty(ref wire.Ref) {
	if c.dirty == nil {
		c.dirty = map[wire.Ref]struct{}{}
	}
	c.dirty[ref] = struct{}{}
	c.urgent = c.urgent || ref.Kind != wire.Destination
	if c.started && len(c.dirty) > maxDirty {
		c.end(errOverflow)
	}
	c.wakeUp()
}

// wakeUp wakes the goroutine that sends updates.
func (c *session) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *session) end(why error) {
	if c.err == nil {
		c.err = why
		close(c.done)
	}
}

// attach starts a session for an agent with its hello.
func (s *Store) attach(nodeName, agent string, h wire.Hello) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node(nodeName)
	s.replace(n, agent, time.Now())
	s.connections++
	c := &session{
		node: n, agent: agent, order: s.connections, version: h.Version,
		held: h.Held, rejected: map[wire.Ref]refusal{},
		features: h.Features, patches: h.Features.Has(wire.FeaturePatches),
		wake: make(chan struct{}, 1), done: make(chan struct{}), behindSince: time.Now(),
	}
	for ref, version := range h.Held {
		if want := s.wanted(c, ref); want == nil || want.Version != version {
			c.markDirty(ref)
		}
	}
	for _, ref := range n.refs() {
		if _, held := h.Held[ref]; !held {
			c.markDirty(ref)
		}
	}
	n.sessions = append(n.sessions, c)
	s.agentChanged(c, true)
	s.changed.addAll(n.profiles)
	s.updateNode(n)
	return c
}

// replace ends the session of the same agent, and the oldest one if there are too many.
func (s *Store) replace(n *node, agent string, now time.Time) {
	for i := len(n.sessions) - 1; i >= 0; i-- {
		if c := n.sessions[i]; c.agent == agent {
			c.end(errReplaced)
			s.endSession(c, now)
		}
	}
	for len(n.sessions) >= maxAgentsPerNode {
		n.sessions[0].end(errReplaced)
		s.endSession(n.sessions[0], now)
	}
}

// endSession records that c gets no more updates.
func (s *Store) endSession(c *session, now time.Time) {
	n := c.node
	if c.idle() {
		c.ackedUpTo = s.revision
	}
	c.ended = true
	s.agentChanged(c, false)
	s.loseBreakers(c, now)
	n.sessions = slices.DeleteFunc(n.sessions, func(o *session) bool { return o == c })
	if len(n.sessions) == 0 && c.answered {
		n.former, n.lostAt = c, now
		s.disconnections = append(s.disconnections, disconnection{n, now})
	}
}

// agentChanged reports that a session has begun, or ended.
func (s *Store) agentChanged(c *session, connected bool) {
	if s.opts.AgentChanged != nil {
		s.opts.AgentChanged(c.node.name, c.version, connected)
	}
}

// detach ends a session whose stream is gone.
func (s *Store) detach(c *session, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := c.node
	if c.ended {
		return // replaced
	}
	s.endSession(c, now)
	s.changed.addAll(n.profiles)
	s.updateNode(n)
	s.tidyNode(n)
}

// clearDirty records that everything dirty is dealt with.
func (c *session) clearDirty() {
	c.urgent = false
	if len(c.dirty) > smallDirty {
		c.dirty = nil
	}
	clear(c.dirty)
}

// endpointPause is the least time between two updates of an agent that are only about destinations. The first change after a pause is
// sent at once. While a Service of many endpoints is rolled out, its changes then cost every node that calls it ten updates per second at
// most, however fast they come.
const endpointPause = 100 * time.Millisecond

// pause returns how long to wait before the next update, or 0.
func (c *session) pause(now time.Time) time.Duration {
	if c.urgent || !c.started || len(c.dirty) == 0 {
		return 0
	}
	return max(0, endpointPause-now.Sub(c.sentAt))
}

// next returns the next update for c, nil when there is none, and how long to wait if there may be one after that. There is none while one is
// not acknowledged.
func (s *Store) next(c *session, now time.Time) (*wire.Update, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended || c.sent != nil || c.started && len(c.dirty) == 0 {
		return nil, 0
	}
	if wait := c.pause(now); wait > 0 {
		return nil, wait
	}
	u := s.update(c)
	if len(u.Set) == 0 && len(u.Removed) == 0 {
		s.advance(c, s.revision)
		c.clearDirty()
		s.updateNode(c.node)
		if c.started {
			return nil, 0
		}
	}
	c.clearDirty()
	s.retryRemovals(c, u)
	if !c.started && c.features.Has(wire.FeatureClusterLimits) {
		u.Grants = &wire.Grants{}
	}
	c.started, c.nonce, c.sent, c.sentUpTo, c.sentAt = true, u.Nonce, u, s.revision, now
	return u, 0
}

// update makes an update of what is dirty.
func (s *Store) update(c *session) *wire.Update {
	u := &wire.Update{Nonce: c.nonce + 1, SnapshotComplete: true}
	for _, ref := range slices.SortedFunc(maps.Keys(c.dirty), wire.Ref.Compare) {
		want := s.wanted(c, ref)
		version, held := c.held[ref]
		if want == nil && !c.rejected[ref].removal {
			delete(c.rejected, ref)
		}
		switch {
		case want == nil && held && s.retained(c.node, ref):
		case want == nil && held:
			u.Removed = append(u.Removed, ref)
			delete(c.held, ref) // the agent may remove it at any time from here on
		case want == nil || held && version == want.Version:
		case c.rejected[ref].version == want.Version:
		default:
			u.Set = append(u.Set, want)
			s.addDelta(c, u, want)
		}
	}
	return u
}

// addDelta adds the delta to want from the version that the agent holds, if that is known.
func (s *Store) addDelta(c *session, u *wire.Update, want *wire.Resource) {
	version, held := c.held[want.Ref]
	if !c.patches || !held || want.Ref.Kind != wire.Destination {
		return
	}
	if d := s.dependencies[want.Ref].history.delta(version, want, c.features); d != nil {
		if u.Deltas == nil {
			u.Deltas = map[wire.Ref]*wire.Delta{}
		}
		u.Deltas[want.Ref] = d
	}
}

// retryRemovals adds to u the removals that the agent refused: they are tried again with whatever comes next.
func (s *Store) retryRemovals(c *session, u *wire.Update) {
	for ref := range c.rejected {
		if s.removalRefused(c, ref) {
			u.Removed = append(u.Removed, ref)
			delete(c.held, ref)
		}
	}
	slices.SortFunc(u.Removed, wire.Ref.Compare)
}

// removalRefused reports whether the agent refused to remove ref, which its node should not have.
func (s *Store) removalRefused(c *session, ref wire.Ref) bool {
	_, held := c.held[ref]
	return c.rejected[ref].removal && held && s.wanted(c, ref) == nil
}
