package distribute

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// MaxExamples bounds the lists in a Rollout.
const MaxExamples = 10

// Rollout is how far the distribution of a policy has come.
type Rollout struct {
	// Desired counts the nodes that have a workload with a profile in which the policy has a part. It is Programmed + Pending + Failed + Unknown.
	Desired int
	// Programmed counts nodes whose agent acknowledged every one of these profiles that it should have, and all that was published up to the
	// last time these were: the pods they govern and the destinations they name. What comes and goes after that, pods on a node that
	// has the profile already and endpoints, does not make a node fall behind; being refused does.
	Programmed int
	// Pending counts nodes whose agent has not answered yet, or is not connected.
	Pending int
	// Failed counts nodes whose agent refused something.
	Failed int
	// Unknown counts nodes whose agent has acknowledged nothing since serving started a short while ago: after a change of leader it takes
	// agents a moment to reconnect. A status should not be made worse on their account.
	Unknown int
	// WaitingSince is about since when the node waits that is pending the longest; zero without one.
	WaitingSince time.Time
	// Failures and Waiting are examples, sorted by node, at most MaxExamples.
	Failures []Failure
	Waiting  []Waiting
	// LeftOut lists the features that the policy's profiles or their destinations need and that some agents lack, in order. What belongs to
	// them is not sent to those agents, and not enforced on their nodes, whatever else is said of these.
	LeftOut []LeftOut
}

// LeftOut is that agents lack a feature.
type LeftOut struct {
	Feature wire.Feature
	Nodes   int
	Example string // the first of the nodes by name
}

// Failure is one node's refusal.
type Failure struct {
	Node    string
	Profile string
	Reason  wire.Reason // its String is fit for a condition
	Message string
}

// Waiting is one pending node.
type Waiting struct {
	Node      string
	Connected bool
}

// Rollout returns how far a policy has come; one without a part in any profile has no desired nodes. What it costs grows with the nodes that
// are not programmed or whose agent lacks features, not with the others.
func (s *Store) Rollout(id policy.ID) Rollout { return s.rollout(time.Now(), id) }

func (s *Store) rollout(now time.Time, id policy.ID) Rollout {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	of := s.policies[id]
	if of == nil {
		return Rollout{}
	}
	pending, failed := of.lists[statePending], of.lists[stateFailed]
	r := Rollout{Desired: len(of.nodes), Programmed: len(of.nodes) - len(pending) - len(failed), Failed: len(failed)}
	for _, n := range firstNodes(failed, func(*node) bool { return true }) {
		r.Failures = append(r.Failures, s.failure(n, of))
	}
	r.LeftOut = of.leftOutByFeature()
	starting := s.serving.servingFor(now) < s.opts.StartGrace
	for _, n := range firstNodes(pending, func(n *node) bool {
		if starting && !n.answered {
			r.Unknown++
			return false
		}
		r.Pending++
		if since := n.waitingSince(n.effectiveSession()); r.WaitingSince.IsZero() || since.Before(r.WaitingSince) {
			r.WaitingSince = since
		}
		return true
	}) {
		r.Waiting = append(r.Waiting, Waiting{Node: n.name, Connected: len(n.sessions) > 0})
	}
	return r
}

// firstNodes returns the first of the nodes by name that count, at most MaxExamples.
func firstNodes(list []*nodeRollout, counts func(*node) bool) []*node {
	var out []*node
	for _, r := range list {
		if !counts(r.node) {
			continue
		}
		if len(out) == MaxExamples {
			if out[MaxExamples-1].name < r.node.name {
				continue
			}
			out = out[:MaxExamples-1]
		}
		at, _ := slices.BinarySearchFunc(out, r.node.name, func(n *node, name string) int { return strings.Compare(n.name, name) })
		out = slices.Insert(out, at, r.node)
	}
	return out
}

// failure returns why the first profile of the policy that failed on n did so.
func (s *Store) failure(n *node, of *policyRollout) Failure {
	var first *profileUse
	for _, u := range n.profiles {
		if u.state == stateFailed && slices.Contains(u.profile.policies, of) && (first == nil || u.name < first.name) {
			first = u
		}
	}
	if why := s.unpublishable(first.profile); why != nil {
		return Failure{Node: n.name, Profile: first.name, Reason: wire.ReasonOf(why), Message: why.Error()}
	}
	no, _ := s.refusal(n.effectiveSession(), first.profile)
	return Failure{Node: n.name, Profile: first.name, Reason: no.reason, Message: no.message}
}

// Revision returns the number of the last publication.
func (s *Store) Revision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// Behind counts the connected nodes whose agent has not acknowledged everything up to a publication. It is how to know that agents
// have removed what was taken from them, when no profile is left to ask about.
func (s *Store) Behind(revision uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := 0
	for _, n := range s.nodes {
		if c := n.latest(); c != nil && (!c.hasAcked(revision) || s.hasRefusedRemoval(c)) {
			behind++
		}
	}
	return behind
}

// hasRefusedRemoval reports whether the agent refused to remove something.
func (s *Store) hasRefusedRemoval(c *session) bool {
	for ref := range c.rejected {
		if s.removalRefused(c, ref) {
			return true
		}
	}
	return false
}

// effectiveSession returns the session that decides the state of n: the latest. For a while, and until that has acknowledged something, it is
// the one before if that ended. It may be nil.
func (n *node) effectiveSession() *session {
	latest := n.latest()
	if (latest == nil || !latest.answered) && n.former != nil {
		return n.former
	}
	return latest
}

// waitingSince returns about since when n, whose effective session is c, has not acknowledged all it should.
func (n *node) waitingSince(c *session) time.Time {
	if c != nil && !c.ended {
		return c.behindSince
	}
	if n.lostAt.After(n.madeAt) {
		return n.lostAt
	}
	return n.madeAt
}

func (n *node) latest() *session {
	if len(n.sessions) == 0 {
		return nil
	}
	return slices.MaxFunc(n.sessions, func(a, b *session) int { return cmp.Compare(a.order, b.order) })
}

// unpublishable returns why the latest version of p or of one of its destinations cannot be published, if that is so.
func (s *Store) unpublishable(p *profile) error {
	if p.err != nil {
		return p.err
	}
	if len(s.unpublished) == 0 {
		return nil
	}
	for _, ref := range p.uses {
		if d := s.dependencies[ref]; d != nil && d.err != nil {
			return d.err
		}
	}
	return nil
}

// refusal returns why c refused the profile, one of its destinations or one of its pods in their current version.
func (s *Store) refusal(c *session, p *profile) (refusal, bool) {
	var first refusal
	var at wire.Ref
	for ref, no := range c.rejected {
		want := s.wanted(c, ref)
		if want == nil || want.Version != no.version || !p.concerns(ref, c.node) {
			continue
		}
		// The profile itself comes first, then the others in order: a status must not change without a cause.
		if at.Kind == 0 || ref.Kind == wire.Profile || at.Kind != wire.Profile && ref.Compare(at) < 0 {
			first, at = no, ref
		}
	}
	return first, at.Kind != 0
}

// concerns reports whether ref is the profile, or one of its dependencies or of the pods that it governs on n.
func (p *profile) concerns(ref wire.Ref, n *node) bool {
	switch ref.Kind {
	case wire.Profile:
		return ref.Name == p.name
	case wire.Destination, wire.Roots, wire.KeyPair, wire.Credentials:
		_, uses := slices.BinarySearchFunc(p.uses, ref, wire.Ref.Compare)
		return uses
	case wire.Workload:
		return n.workloads[ref.Name].profile == p.name
	}
	return false
}
