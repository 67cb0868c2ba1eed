package steps

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

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
	log     *slog.Logger
	pod     func(uid string) (name, workload string)

	mu   sync.Mutex
	open []*Trace // those that have no call yet are asked about each that begins; guarded by mu
	all  int      // guarded by mu
}

// New returns Traces without any, of the calls that are passed to who watches at watches. pod returns namespace/name for a UID, and what the pod belongs
// to; empty: not known. Traces that ask for the value of a header field are logged.
func New(watches *drive.Watches, log *slog.Logger, pod func(uid string) (name, workload string)) *Traces {
	return &Traces{watches: watches, log: log, pod: pod}
}

// Trace is the trace of one call: the next that its filter wants.
type Trace struct {
	// immutable
	of    *Traces
	want  *matcher
	lines chan liveapi.TraceLine // there is room for all

	call *watcher // nil: it has none yet; guarded by of.mu
}

// Open opens a trace. It lasts until Close.
func (t *Traces) Open(f Filter) (*Trace, error) {
	want, err := f.compile()
	if err != nil {
		return nil, err
	}
	trace, err := t.add(want)
	if err == nil && want.hasValue { // who asks cannot be known; the value may be a person's
		t.log.Info("a trace is opened that asks for the value of a header field", "header", want.name, "namespace", f.Namespace, "pod", f.Pod,
			"workload", f.Workload, "policy", f.Policy, "host", f.Host)
	}
	return trace, err
}

func (t *Traces) add(want *matcher) (*Trace, error) {
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

// Close ends a trace. The call goes on, and keeps nothing of the trace.
func (t *Trace) Close() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.all--
	t.of.remove(t)
	if t.call != nil {
		t.call.trace.Store(nil)
	}
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

// begin returns who watches a call that begins, or nil. Other calls that begin do not wait for its look-ups.
func (t *Traces) begin(w drive.Watchable) drive.Watcher {
	var open [MaxTraces]*Trace
	t.mu.Lock()
	n := copy(open[:], t.open)
	t.mu.Unlock()
	pod, workload := "", ""
	for _, trace := range open[:n] {
		if !trace.want.wants(&w) {
			continue
		}
		if pod == "" {
			pod, workload = t.caller(w.Client.Pod)
		}
		if !trace.want.wantsCaller(pod, workload) {
			continue
		}
		if of := newWatcher(trace, &w, pod, workload); t.take(trace, of) {
			trace.lines <- liveapi.TraceLine{At: time.Now(), Begin: callOf(&w, pod, workload)}
			return of
		}
	}
	return nil
}

// take gives a trace its call, and reports whether it had none and is open still.
func (t *Traces) take(trace *Trace, call *watcher) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.open, trace) {
		return false
	}
	t.remove(trace)
	trace.call = call
	return true
}

// caller names a pod, by its UID where it is not known.
func (t *Traces) caller(uid string) (pod, workload string) {
	if t.pod != nil {
		pod, workload = t.pod(uid)
	}
	return cmp.Or(pod, uid), workload
}
