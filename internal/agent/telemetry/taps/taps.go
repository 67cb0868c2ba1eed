package taps

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// Bounds of taps: what they cost the calls of a node is bounded by them.
const (
	MaxTaps     = 8
	DefaultRate = 100
	MaxRate     = 1000
	// maxWaiting lines wait for a tap's reader.
	maxWaiting = 256
)

// ErrTooMany: there are MaxTaps already.
var ErrTooMany = errors.New("8 taps of this node are open already, which is the most; end one of them first")

// Taps are those of an agent.
type Taps struct {
	// immutable
	pod func(uid string) (name, workload string)

	open atomic.Pointer[[]*Tap] // nil: none. Replaced under mu, never changed
	mu   sync.Mutex
}

// New returns Taps without any. pod returns namespace/name for a UID, and what the pod belongs to; empty: not known.
func New(pod func(uid string) (name, workload string)) *Taps { return &Taps{pod: pod} }

// Tap gets the calls that its filter wants.
type Tap struct {
	// immutable
	of    *Taps
	want  *matcher
	lines chan *liveapi.Call
	rate  uint64

	second  atomic.Uint64 // second<<32 | calls in it
	dropped atomic.Uint64
}

// Open opens a tap, which gets rate calls in a second at most; 0: DefaultRate. It lasts until Close.
func (t *Taps) Open(f Filter, rate int) (*Tap, error) {
	want, err := f.compile()
	if err != nil {
		return nil, err
	}
	tap := &Tap{of: t, want: want, lines: make(chan *liveapi.Call, maxWaiting), rate: uint64(min(max(cmp.Or(rate, DefaultRate), 1), MaxRate))}
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*Tap
	if open := t.open.Load(); open != nil {
		all = slices.Clone(*open)
	}
	if len(all) >= MaxTaps {
		return nil, ErrTooMany
	}
	all = append(all, tap)
	t.open.Store(&all)
	return tap, nil
}

// Close ends a tap.
func (t *Tap) Close() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	open := t.of.open.Load()
	if open == nil {
		return
	}
	all := slices.DeleteFunc(slices.Clone(*open), func(o *Tap) bool { return o == t })
	if len(all) == 0 {
		t.of.open.Store(nil)
		return
	}
	t.of.open.Store(&all)
}

// Calls are those that the tap gets.
func (t *Tap) Calls() <-chan *liveapi.Call { return t.lines }

// Dropped returns how many were dropped since it was asked last.
func (t *Tap) Dropped() uint64 { return t.dropped.Swap(0) }

// Any reports whether anybody wants to see calls. t may be nil.
func (t *Taps) Any() bool { return t != nil && t.open.Load() != nil }

// Call shows a call that has ended to those who want it.
func (t *Taps) Call(e *routes.Exchange, id policy.ID, target string) {
	open := t.open.Load()
	if open == nil {
		return
	}
	var c *liveapi.Call // made for the first that wants it
	var pod, workload string
	for _, tap := range *open {
		if !tap.want.wants(e, id) {
			continue
		}
		if pod == "" {
			pod, workload = t.caller(e.Pod)
		}
		if !tap.want.wantsCaller(pod, workload) {
			continue
		}
		if !tap.admit(time.Now()) {
			tap.dropped.Add(1)
			continue
		}
		if c == nil {
			c = CallOf(e, id, target)
			c.Pod, c.Workload = pod, workload
		}
		tap.send(c)
	}
}

// caller names a pod, by its UID where it is not known.
func (t *Taps) caller(uid string) (pod, workload string) {
	if t.pod != nil {
		pod, workload = t.pod(uid)
	}
	return cmp.Or(pod, uid), workload
}

func (t *Tap) send(c *liveapi.Call) {
	select {
	case t.lines <- c:
	default:
		t.dropped.Add(1)
	}
}

// admit reports whether one more call may be shown in this second, and counts it.
func (t *Tap) admit(now time.Time) bool {
	second := uint64(now.Unix()) & (1<<32 - 1)
	for {
		old := t.second.Load()
		next := second<<32 | 1
		if old>>32 == second {
			next = old + 1
		}
		if next&(1<<32-1) > t.rate {
			return false
		}
		if t.second.CompareAndSwap(old, next) {
			return true
		}
	}
}
