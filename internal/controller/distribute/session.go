package distribute

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// maxAgentsPerNode bounds the agents connected for one node: an upgrade runs the new one beside the old.
const maxAgentsPerNode = 2

// maxDirty bounds the pending changes of one agent. A change to a resource that is pending already costs nothing, so only an agent
// that is far behind gets here; starting over is cheaper then.
const maxDirty = wire.MaxHeld

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

	dirty    map[wire.Ref]struct{}
	held     map[wire.Ref]wire.Version // what the agent said it holds
	rejected map[wire.Ref]refusal
	sent     *wire.Update // sent and not acknowledged
	sentUpTo uint64       // the last publication that is in sent
	sure     uint64       // the last publication up to which the agent acknowledged everything; of no account while idle
	nonce    uint64
	// behindSince is about when the first change came that the agent has not acknowledged, and sentAt when sent was made.
	behindSince, sentAt time.Time

	started  bool // the first update was made
	answered bool // and acknowledged
	ended    bool // no longer told of changes

	wake chan struct{} // size 1: dirty grew
	over chan struct{} // closed when the store ends the session
	why  error         // read after over is closed
}

// refusal is a rejected version.
type refusal struct {
	version wire.Version
	reason  wire.Reason
	message string
}

func (c *session) touch(ref wire.Ref) {
	c.dirty[ref] = struct{}{}
	if c.started && len(c.dirty) > maxDirty {
		c.end(errOverflow)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *session) end(why error) {
	if c.why == nil {
		c.why = why
		close(c.over)
	}
}

// attach starts a session for an agent that holds what h says.
func (s *Store) attach(nodeName, agent string, h wire.Hello) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.node(nodeName)
	s.replace(n, agent, time.Now())
	s.connections++
	c := &session{
		node: n, agent: agent, order: s.connections,
		dirty: map[wire.Ref]struct{}{}, held: h.Held, rejected: map[wire.Ref]refusal{},
		wake: make(chan struct{}, 1), over: make(chan struct{}), behindSince: time.Now(),
	}
	for ref, version := range h.Held {
		if want := s.wanted(n, ref); want == nil || want.Version != version {
			c.touch(ref)
		}
	}
	for _, ref := range n.refs() {
		if _, held := h.Held[ref]; !held {
			c.touch(ref)
		}
	}
	n.sessions = append(n.sessions, c)
	s.news.addAll(n.profiles)
	return c
}

// replace ends the session of the same agent, and the oldest one if there are too many.
func (s *Store) replace(n *node, agent string, now time.Time) {
	for i := len(n.sessions) - 1; i >= 0; i-- {
		if c := n.sessions[i]; c.agent == agent {
			c.end(errReplaced)
			s.lose(c, now)
		}
	}
	for len(n.sessions) >= maxAgentsPerNode {
		n.sessions[0].end(errReplaced)
		s.lose(n.sessions[0], now)
	}
}

// lose takes note that c is told nothing from now on.
func (s *Store) lose(c *session, now time.Time) {
	n := c.node
	if c.idle() {
		c.sure = s.revision
	}
	c.ended = true
	n.sessions = slices.DeleteFunc(n.sessions, func(o *session) bool { return o == c })
	if len(n.sessions) == 0 && c.answered {
		n.last, n.lostAt = c, now
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
	s.lose(c, now)
	s.news.addAll(n.profiles)
	s.tidyNode(n)
}

// next returns the next update for c, or false when there is nothing to say.
func (s *Store) next(c *session) (wire.Update, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended {
		return wire.Update{}, false
	}
	u := wire.Update{Nonce: c.nonce + 1, SnapshotComplete: true}
	for _, ref := range slices.SortedFunc(maps.Keys(c.dirty), wire.Ref.Compare) {
		want := s.wanted(c.node, ref)
		version, held := c.held[ref]
		if want == nil {
			delete(c.rejected, ref)
		}
		switch {
		case want == nil && held:
			u.Removed = append(u.Removed, ref)
			delete(c.held, ref) // from here on nobody can say when it lets go
		case want == nil || held && version == want.Version:
		case c.rejected[ref].version == want.Version:
		default:
			u.Set = append(u.Set, want)
		}
	}
	if len(u.Set) == 0 && len(u.Removed) == 0 {
		s.advance(c, s.revision)
		if clear(c.dirty); c.started {
			return wire.Update{}, false
		}
	}
	clear(c.dirty)
	c.started, c.nonce, c.sent, c.sentUpTo, c.sentAt = true, u.Nonce, &u, s.revision, time.Now()
	return u, true
}

// acknowledge records the answer to the update last sent.
func (s *Store) acknowledge(c *session, a wire.Ack) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.sent == nil || a.Nonce != c.sent.Nonce {
		return fmt.Errorf("%w: unexpected nonce %d", errProtocol, a.Nonce)
	}
	refused := make(map[wire.Ref]wire.Rejection, len(a.Rejections))
	for _, r := range a.Rejections {
		refused[r.Ref] = r
	}
	for _, r := range c.sent.Set {
		_, before := c.rejected[r.Ref]
		no, now := refused[r.Ref]
		if now {
			c.rejected[r.Ref] = refusal{version: r.Version, reason: no.Reason, message: no.Message}
		} else {
			c.held[r.Ref] = r.Version
			delete(c.rejected, r.Ref)
		}
		// Endpoints come and go all the time; a destination is news only when it is refused or no longer is.
		if r.Ref.Kind == wire.Profile || before || now {
			s.tell(c.node, r.Ref)
		}
	}
	for _, r := range a.Rejections {
		s.takeBack(c, r)
	}
	for _, ref := range c.sent.Removed {
		delete(c.rejected, ref)
	}
	s.advance(c, c.sentUpTo)
	c.sent, c.behindSince = nil, c.sentAt // what is dirty has become so since
	if n := c.node; !c.answered && !c.ended {
		n.last, n.heard = nil, true
		s.news.addAll(n.profiles)
	}
	c.answered = true
	return nil
}

// idle reports whether the agent has acknowledged all there is.
func (c *session) idle() bool { return !c.ended && len(c.dirty) == 0 && c.sent == nil }

// caughtUp reports whether the agent has acknowledged all that it was given up to a publication.
func (c *session) caughtUp(revision uint64) bool { return c.idle() || c.sure >= revision }

// advance takes note that the agent has acknowledged everything up to a publication, and announces the profiles for which that was
// waited for.
func (s *Store) advance(c *session, revision uint64) {
	if !c.idle() {
		for name := range c.node.profiles {
			if drawn := s.profiles[name].drawn; drawn > c.sure && drawn <= revision {
				s.news.add(name)
			}
		}
	}
	c.sure = revision
}

// takeBack records that the agent gave up a resource it held and was not sent now.
func (s *Store) takeBack(c *session, r wire.Rejection) {
	version, ok := c.held[r.Ref]
	if !ok || slices.ContainsFunc(c.sent.Set, func(sent *wire.Resource) bool { return sent.Ref == r.Ref }) {
		return
	}
	delete(c.held, r.Ref)
	c.rejected[r.Ref] = refusal{version: version, reason: r.Reason, message: r.Message}
	s.tell(c.node, r.Ref)
}

// tell announces the profiles whose rollout ref's fate changes.
func (s *Store) tell(n *node, ref wire.Ref) {
	switch ref.Kind {
	case wire.Profile:
		s.news.add(ref.Name)
	case wire.Destination:
		for name := range n.profiles {
			if _, uses := slices.BinarySearch(s.profiles[name].uses, ref.Name); uses {
				s.news.add(name)
			}
		}
	case wire.Workload:
		if w, ok := n.workloads[ref.Name]; ok {
			s.news.add(w.profile)
		}
	}
}
