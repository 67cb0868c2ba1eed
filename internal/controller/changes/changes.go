// Package changes keeps what has changed of late: policies, breakers, rollouts, and agents that come and go.
package changes

import (
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// kept is how many changes there are at most; the oldest go first.
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
	ring  []liveapi.Change
	next  int              // where the next one goes, once ring is full
	edits map[string]int64 // generations of policies
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
	if len(l.ring) < kept {
		l.ring = append(l.ring, c)
		return
	}
	l.ring[l.next] = c
	l.next = (l.next + 1) % kept
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
	for i := range l.ring {
		c := &l.ring[(l.next+len(l.ring)-1-i)%len(l.ring)]
		if c.At.Before(from) || len(out) == most {
			break
		}
		if wants(c) {
			out = append(out, *c)
		}
	}
	return out
}
