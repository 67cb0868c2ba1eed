package steps

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/liveapi"
)

// Bounds of traces: what they cost the calls of a node is bounded by them.
const (
	MaxTraces = 4
	// maxSteps are shown of one call.
	maxSteps = 512
)

// ErrTooMany: there are MaxTraces already.
var ErrTooMany = errors.New("4 traces of this node are open already, which is the most; end one of them first")

// Traces are those of an agent.
type Traces struct {
	// immutable
	watches *drive.Watches
	pod     func(uid string) (name, workload string)

	mu   sync.Mutex
	open []*Trace // those that have no call yet are asked about each that begins; guarded by mu
	all  int      // guarded by mu
}

// New returns Traces without any, of the calls that are passed to who watches at watches. pod returns namespace/name for a UID, and what the pod belongs
// to; empty: not known.
func New(watches *drive.Watches, pod func(uid string) (name, workload string)) *Traces {
	return &Traces{watches: watches, pod: pod}
}

// Trace is the trace of one call: the next that its filter wants.
type Trace struct {
	// immutable
	of    *Traces
	want  *matcher
	lines chan liveapi.TraceLine // there is room for all
}

// Open opens a trace. It lasts until Close.
func (t *Traces) Open(f Filter) (*Trace, error) {
	want, err := f.compile()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= MaxTraces {
		return nil, ErrTooMany
	}
	trace := &Trace{of: t, want: want, lines: make(chan liveapi.TraceLine, maxSteps+2)}
	t.all++
	t.open = append(t.open, trace)
	t.watches.Want(t.begin)
	return trace, nil
}

// Close ends a trace. The call goes on, and what is shown of it is not read.
func (t *Trace) Close() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.all--
	t.of.remove(t)
}

// remove takes a trace from those that are asked. It expects the lock.
func (t *Traces) remove(gone *Trace) {
	t.open = slices.DeleteFunc(t.open, func(o *Trace) bool { return o == gone })
	if len(t.open) == 0 {
		t.watches.Want(nil)
	}
}

// Lines are those of the trace. They end with that of the call's end.
func (t *Trace) Lines() <-chan liveapi.TraceLine { return t.lines }

// begin returns who watches a call that begins, or nil.
func (t *Traces) begin(w drive.Watchable) drive.Watcher {
	t.mu.Lock()
	defer t.mu.Unlock()
	pod, workload := "", ""
	for _, trace := range t.open {
		if !trace.want.wants(&w) {
			continue
		}
		if pod == "" {
			pod, workload = t.caller(w.Client.Pod)
		}
		if trace.want.wantsCaller(pod, workload) {
			t.remove(trace)
			return newWatcher(trace, &w, pod, workload)
		}
	}
	return nil
}

// caller names a pod, by its UID where it is not known.
func (t *Traces) caller(uid string) (pod, workload string) {
	if t.pod != nil {
		pod, workload = t.pod(uid)
	}
	return cmp.Or(pod, uid), workload
}
