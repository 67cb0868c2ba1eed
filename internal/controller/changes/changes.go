// Package changes keeps what has changed of late: policies, breakers, rollouts, and agents that come and go.
package changes

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// kept is how many changes there are at most, and as many of agents that come and go: an upgrade of thousands of those does not push out what
	// somebody looks for after it. The oldest go first.
	kept = 4096
	// maxNote bounds the text of each.
	maxNote = 512
)

// The kinds of changes that are no Events.
const (
	PolicyChanged  = "PolicyChanged"
	PolicyDeleted  = "PolicyDeleted"
	AgentConnected = "AgentConnected"
	AgentGone      = "AgentGone"
)

// Log keeps changes. The nil Log keeps none.
type Log struct {
	mu sync.Mutex
	// guarded by mu
	agents, others ring
	edits          map[string]int64 // generations of policies
}

// ring are the latest changes of some kinds.
type ring struct {
	all  []liveapi.Change
	next int // where the next one goes, once all is full
}

func (r *ring) add(c liveapi.Change) {
	if len(r.all) < kept {
		r.all = append(r.all, c)
		return
	}
	r.all[r.next] = c
	r.next = (r.next + 1) % kept
}

// latest returns the i-th, of which the latest is the first; nil: there are not so many.
func (r *ring) latest(i int) *liveapi.Change {
	if i >= len(r.all) {
		return nil
	}
	return &r.all[(r.next+len(r.all)-1-i)%len(r.all)]
}

// New returns an empty Log.
func New() *Log { return &Log{edits: map[string]int64{}} }

// Add adds a change.
func (l *Log) Add(c liveapi.Change) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(c)
}

func (l *Log) add(c liveapi.Change) {
	if len(c.Note) > maxNote {
		c.Note = c.Note[:maxNote]
	}
	if c.Kind == AgentConnected || c.Kind == AgentGone {
		l.agents.add(c)
	} else {
		l.others.add(c)
	}
}

// PolicySeen notes that a policy has a generation. What was there when the process began is no change.
func (l *Log) PolicySeen(at time.Time, policy string, generation int64, old bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.edits[policy]
	l.edits[policy] = generation
	switch {
	case known && was == generation, !known && old:
	case known:
		l.add(liveapi.Change{At: at, Kind: PolicyChanged, Policy: policy, Note: "its spec was edited"})
	default:
		l.add(liveapi.Change{At: at, Kind: PolicyChanged, Policy: policy, Note: "it was created"})
	}
}

// PolicyGone notes that a policy was deleted.
func (l *Log) PolicyGone(at time.Time, policy string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.edits[policy]; known {
		delete(l.edits, policy)
		l.add(liveapi.Change{At: at, Kind: PolicyDeleted, Policy: policy})
	}
}

// Since returns the changes from a time on that are wanted, the latest first, at most so many.
func (l *Log) Since(from time.Time, most int, wants func(*liveapi.Change) bool) []liveapi.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []liveapi.Change{}
	for i, j := 0, 0; len(out) < most; {
		c, other := l.others.latest(i), l.agents.latest(j)
		if i++; c == nil || other != nil && other.At.After(c.At) {
			c, i, j = other, i-1, j+1
		}
		if c == nil || c.At.Before(from) {
			break
		}
		if wants(c) {
			out = append(out, *c)
		}
	}
	return out
}
