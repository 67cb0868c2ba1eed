// Package changes keeps what has changed of late: policies, breakers, rollouts, and agents that come and go.
package changes

import (
	"strings"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// kept is how many changes there are at most, and as many of agents that come and go: an upgrade of thousands of those does not push out what
	// somebody looks for after it. The oldest go first.
	kept = 4096
	// maxNote bounds the text of each, maxManager the name of a field manager: the API server takes no longer one.
	maxNote, maxManager = 512, 128
)

// The kinds of changes that are no Events.
const (
	PolicyChanged  = "PolicyChanged"
	PolicyDeleted  = "PolicyDeleted"
	AgentConnected = "AgentConnected"
	AgentGone      = "AgentGone"
	// BreakerGone ends what BreakerOpened has begun where no breaker closed: it was removed, by an edit or with its pods or its agent.
	BreakerGone = "BreakerGone"
)

// Edit is an edit of a policy's spec.
type Edit struct {
	Generation int64
	// FieldManager is who made it and Operation how, as managedFields has it, and At when, to the second, by the API server's clock. Without a FieldManager it is
	// not known.
	FieldManager, Operation string
	At                      time.Time
}

// Log keeps changes. The nil Log keeps none.
type Log struct {
	mu sync.Mutex
	// guarded by mu
	agents, others ring
	edits          map[string]Edit // the last one of each policy
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
func New() *Log { return &Log{edits: map[string]Edit{}} }

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
	c.Note, c.FieldManager = bounded(c.Note, maxNote), bounded(c.FieldManager, maxManager)
	if c.Kind == AgentConnected || c.Kind == AgentGone {
		l.agents.add(c)
	} else {
		l.others.add(c)
	}
}

func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// PolicySeen notes that a policy has a generation, and which edit was its last one. What was there when the process began is no change.
func (l *Log) PolicySeen(at time.Time, policy string, edit Edit, old bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.edits[policy]
	l.edits[policy] = edit
	if known && was.Generation == edit.Generation || !known && old {
		return
	}
	c := liveapi.Change{At: at, Kind: PolicyChanged, Policy: policy, Note: "it was created", FieldManager: edit.FieldManager, Operation: edit.Operation}
	if known {
		c.Note = "its spec was edited"
	}
	if known && was.FieldManager == edit.FieldManager && was.At.Equal(edit.At) {
		c.FieldManager, c.Operation = "", "" // that was the edit before: who only removes fields of others is not in managedFields
	}
	l.add(c)
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
