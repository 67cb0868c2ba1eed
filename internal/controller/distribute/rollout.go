package distribute

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// MaxExamples bounds the lists in a Rollout.
const MaxExamples = 10

// Rollout says how far a set of profiles has come.
type Rollout struct {
	// Desired counts the nodes that have a workload using one of the profiles. It is Programmed + Pending + Failed + Unknown.
	Desired int
	// Programmed counts nodes whose agent acknowledged every one of the profiles it should have, and all that was published up to the
	// last time these were: the pods they govern and the destinations they name. What comes and goes after that, pods on a node that
	// has the profile already and endpoints, does not make a node fall behind; being refused does.
	Programmed int
	// Pending counts nodes whose agent has not answered yet, or is not connected.
	Pending int
	// Failed counts nodes whose agent refused something.
	Failed int
	// Unknown counts nodes of which nothing was heard since the gate opened a short while ago: after a change of leader it takes
	// agents a moment to come back. A status should not be made worse on their account.
	Unknown int
	// WaitingSince is about since when the node waits that is pending the longest; zero without one.
	WaitingSince time.Time
	// Failures and Waiting are examples, sorted by node, at most MaxExamples.
	Failures []Failure
	Waiting  []Waiting
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

// Rollout returns how far the profiles have come. Unknown names count for nothing.
func (s *Store) Rollout(profiles ...string) Rollout {
	return s.rollout(time.Now(), profiles)
}

func (s *Store) rollout(now time.Time, names []string) Rollout {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := map[string]*node{}
	for _, name := range names {
		if p := s.profiles[name]; p != nil {
			maps.Copy(nodes, p.nodes)
		}
	}
	r := Rollout{Desired: len(nodes)}
	settling := s.gate.openFor(now) < s.opts.StartGrace
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		c := n.witness(now, s.opts.Grace)
		fate, why := s.judge(n, c, names)
		switch {
		case fate == fateProgrammed:
			r.Programmed++
		case fate == fateFailed:
			r.Failed++
			if len(r.Failures) < MaxExamples {
				r.Failures = append(r.Failures, why)
			}
		case settling && !n.heard:
			r.Unknown++
		default:
			r.Pending++
			if since := n.waitingSince(c); r.WaitingSince.IsZero() || since.Before(r.WaitingSince) {
				r.WaitingSince = since
			}
			if len(r.Waiting) < MaxExamples {
				r.Waiting = append(r.Waiting, Waiting{Node: name, Connected: len(n.sessions) > 0})
			}
		}
	}
	return r
}

// Revision returns the number of the last publication.
func (s *Store) Revision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// Behind counts the connected nodes whose agent has not acknowledged everything up to a publication. It is how to know that agents
// have let go of what was taken from them, of which no profile is left to ask about.
func (s *Store) Behind(revision uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	behind := 0
	for _, n := range s.nodes {
		if c := n.latest(); c != nil && (!c.caughtUp(revision) || s.keeps(c)) {
			behind++
		}
	}
	return behind
}

// keeps reports whether the agent refused to let go of something.
func (s *Store) keeps(c *session) bool {
	for ref := range c.rejected {
		if s.stuck(c, ref) {
			return true
		}
	}
	return false
}

// fate is what became of a set of profiles on one node. The worst of its members decides.
type fate uint8

const (
	fateProgrammed fate = iota
	fatePending
	fateFailed
)

// witness returns the session that speaks for n: the latest. For a while, and until that has acknowledged something, it is the one
// before if that ended. It may be nil.
func (n *node) witness(now time.Time, grace time.Duration) *session {
	latest := n.latest()
	if (latest == nil || !latest.answered) && n.last != nil && now.Sub(n.lostAt) < grace {
		return n.last
	}
	return latest
}

// waitingSince returns about since when n, for which c speaks, has not acknowledged all it should.
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

func (s *Store) judge(n *node, c *session, names []string) (fate, Failure) {
	if c == nil {
		return fatePending, Failure{}
	}
	worst := fateProgrammed
	for _, name := range names {
		p := s.profiles[name]
		if p == nil || n.profiles[name] == 0 {
			continue
		}
		if why := s.unpublishable(p); why != nil {
			return fateFailed, Failure{Node: n.name, Profile: name, Reason: wire.ReasonOf(why), Message: why.Error()}
		}
		if p.resource == nil {
			worst = fatePending
			continue
		}
		if no, refused := s.refusal(c, name); refused {
			return fateFailed, Failure{Node: n.name, Profile: name, Reason: no.reason, Message: no.message}
		}
		if c.held[p.resource.Ref] != p.resource.Version || !c.caughtUp(p.drawn) {
			worst = fatePending
		}
	}
	return worst, Failure{}
}

// unpublishable returns why the latest version of p or of one of its destinations cannot be published, if that is so.
func (s *Store) unpublishable(p *profile) error {
	if p.why != nil {
		return p.why
	}
	if len(s.unpublished) == 0 {
		return nil
	}
	for _, name := range p.uses {
		if d := s.destinations[name]; d != nil && d.why != nil {
			return d.why
		}
	}
	return nil
}

// refusal returns why c refused the profile, one of its destinations or one of its pods in their current version.
func (s *Store) refusal(c *session, name string) (refusal, bool) {
	var first refusal
	var at wire.Ref
	for ref, no := range c.rejected {
		want := s.wanted(c.node, ref)
		if want == nil || want.Version != no.version || !s.concerns(c.node, ref, name) {
			continue
		}
		// The profile itself comes first, then the others in order: what a status says must not change from look to look.
		if at.Kind == 0 || ref.Kind == wire.Profile || at.Kind != wire.Profile && ref.Compare(at) < 0 {
			first, at = no, ref
		}
	}
	return first, at.Kind != 0
}

// concerns reports whether ref is the profile, or one of the destinations that it names or of the pods that it governs on n.
func (s *Store) concerns(n *node, ref wire.Ref, name string) bool {
	switch ref.Kind {
	case wire.Profile:
		return ref.Name == name
	case wire.Destination:
		_, uses := slices.BinarySearch(s.profiles[name].uses, ref.Name)
		return uses
	case wire.Workload:
		return n.workloads[ref.Name].profile == name
	}
	return false
}
