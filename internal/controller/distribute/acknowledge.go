package distribute

import (
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// acknowledge records the answer to the update last sent.
func (s *Store) acknowledge(c *session, a wire.Ack) error {
	since, err := s.recordAck(c, a)
	if err == nil {
		s.opts.Acknowledged(time.Since(since))
	}
	return err
}

// recordAck records an acknowledgement, and returns since when the agent had not acknowledged something that was in the update.
func (s *Store) recordAck(c *session, a wire.Ack) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.sent == nil || a.Nonce != c.sent.Nonce {
		return time.Time{}, fmt.Errorf("%w: unexpected nonce %d", errProtocol, a.Nonce)
	}
	refused := len(c.rejected) > 0
	s.accept(c)
	complete := true
	if len(a.Rejections) > 0 {
		asked := c.requested()
		for _, r := range a.Rejections {
			s.reject(c, r, asked)
			complete = complete && !c.patchFailed(r)
		}
	}
	if len(c.held) > maxHeld {
		return time.Time{}, fmt.Errorf("%w: %d resources held", errProtocol, len(c.held))
	}
	if complete {
		s.advance(c, c.sentUpTo)
	}
	since := c.behindSince
	c.sent, c.behindSince = nil, c.sentAt // what is dirty has become so since
	if n := c.node; !c.answered && !c.ended {
		n.former, n.answered = nil, true
		s.changed.addAll(n.profiles)
	}
	if first := !c.answered; first || refused || len(c.rejected) > 0 {
		s.updateNode(c.node)
	} else {
		s.updateUnprogrammed(c.node) // nothing that was programmed has come to be otherwise
	}
	first := !c.answered
	c.answered = true
	if len(c.dirty) > 0 || first && c.features.Has(wire.FeatureClusterBreakers) {
		c.wakeUp()
	}
	return since, nil
}

// patchFailed reports whether the agent could not apply a patch. The resource is sent again then, and from now on everything is sent in full.
func (c *session) patchFailed(r wire.Rejection) bool {
	if c.sent.Deltas[r.Ref] == nil || r.Reason != wire.ReasonMalformed {
		return false
	}
	c.patches = false
	delete(c.rejected, r.Ref)
	c.markDirty(r.Ref)
	return true
}

// idle reports whether the agent has acknowledged all there is.
func (c *session) idle() bool { return !c.ended && len(c.dirty) == 0 && c.sent == nil }

// hasAcked reports whether the agent has acknowledged all that it was given up to a publication.
func (c *session) hasAcked(revision uint64) bool { return c.idle() || c.ackedUpTo >= revision }

// advance records that the agent has acknowledged everything up to a publication, and marks the profiles that waited for that as changed.
func (s *Store) advance(c *session, revision uint64) {
	if !c.idle() {
		for _, u := range c.node.unprogrammed { // a profile that waits for it is not programmed
			if in := u.profile.publishedIn; in > c.ackedUpTo && in <= revision {
				s.changed.add(u.name)
			}
		}
	}
	c.ackedUpTo = revision
}

// accept records that the agent applied the update last sent.
func (s *Store) accept(c *session) {
	for _, r := range c.sent.Set {
		_, refused := c.rejected[r.Ref]
		c.held[r.Ref] = r.Version
		delete(c.rejected, r.Ref)
		// Endpoints come and go all the time; a destination changes a rollout only when it is refused or no longer is.
		if r.Ref.Kind == wire.Profile || refused {
			s.markChanged(c.node, r.Ref)
		}
	}
	for _, ref := range c.sent.Removed {
		delete(c.rejected, ref)
	}
}

// request is what an update asks for a resource.
type request uint8

const (
	requestedSet request = iota + 1
	requestedRemoval
)

// requested returns what the update last sent asks for.
func (c *session) requested() map[wire.Ref]request {
	out := make(map[wire.Ref]request, len(c.sent.Set)+len(c.sent.Removed))
	for _, r := range c.sent.Set {
		out[r.Ref] = requestedSet
	}
	for _, ref := range c.sent.Removed {
		out[ref] = requestedRemoval
	}
	return out
}

// reject records that the agent does not hold a resource as it should, and what it holds instead. A resource that is not in the update it
// held before and gave up, or, if it was not known to hold it, holds all the same.
func (s *Store) reject(c *session, r wire.Rejection, asked map[wire.Ref]request) {
	version, known := c.held[r.Ref]
	what, sent := asked[r.Ref]
	switch {
	case r.HeldKnown && r.Held == wire.Version{}, !r.HeldKnown && !sent:
		delete(c.held, r.Ref)
	case r.HeldKnown:
		c.held[r.Ref] = r.Held
	default:
		c.held[r.Ref] = unknownVersion
	}
	if sent || known {
		c.rejected[r.Ref] = refusal{version: version, removal: what == requestedRemoval, reason: r.Reason, message: r.Message}
		s.markChanged(c.node, r.Ref)
	}
}

// markChanged marks the profiles whose rollout ref is part of as changed.
func (s *Store) markChanged(n *node, ref wire.Ref) {
	switch ref.Kind {
	case wire.Profile:
		s.changed.add(ref.Name)
	case wire.Destination, wire.Roots, wire.KeyPair, wire.Credentials:
		for name, u := range n.profiles {
			if u.profile.concerns(ref, n) {
				s.changed.add(name)
			}
		}
	case wire.Workload:
		if w, ok := n.workloads[ref.Name]; ok {
			s.changed.add(w.profile)
		}
	}
}
