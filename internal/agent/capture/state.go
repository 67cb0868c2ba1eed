package capture

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/policy"
)

// EventKind says what happened.
type EventKind uint8

const (
	// Captured: the pod's door is open.
	Captured EventKind = iota
	// Released: the pod's door has been closed because nothing is wanted of it, or because the agent stops.
	Released
	// Ended: the pod or its sandbox is gone, and so is the door. Connections that the pod dialled are of no use any more.
	Ended
	// Troubled: the pod is not captured as wanted; Err says why.
	Troubled
	// Superseded: another agent has taken the pod over.
	Superseded
	// Shedding: the node is overloaded and new connections go direct, except in pods that fail closed. No pod is named.
	Shedding
	// Resumed: that is over.
	Resumed
)

// String is the kind as logs show it.
func (k EventKind) String() string {
	return [...]string{"captured", "released", "ended", "troubled", "superseded", "shedding", "resumed"}[k]
}

// Event is something that happened to a pod's capture.
type Event struct {
	Kind EventKind
	Pod  PodRef
	Err  error
}

// Stats are totals since the start, and what is now.
type Stats struct {
	Captured, Connections   int64
	Accepted, Loops, Panics int64
	// Cut are connections that a forced stop ended, Older those that no policy governs because they are older than their pod's capture.
	Cut, Older int64
	Shedding   bool
	// RedirectStopped is set while the manager stops, once no pod is captured but those that are served to the end.
	RedirectStopped bool
}

// Stats counts. Captured are the pods whose doors stand open.
func (m *Manager) Stats() Stats {
	s := Stats{Connections: m.load.connections.Load(), Accepted: m.accepted.Load(), Loops: m.loops.Load(), Panics: m.panics.Load(),
		Cut: m.cut.Load(), Shedding: m.load.overload() != nil}
	s.RedirectStopped = m.stopping.Load()
	for _, d := range m.podCaptures() {
		captured, older := d.counts()
		s.Older += older
		if captured {
			s.Captured++
			s.RedirectStopped = s.RedirectStopped && d.mustServe()
		}
	}
	return s
}

// PodState is one pod's capture as /debug shows it.
type PodState struct {
	Pod         PodRef
	Sandbox     string
	NetNS       string
	Port        uint16
	IPv6        bool
	Captured    bool
	Superseded  bool
	Connections int
	// Older are open connections to what is redirected that were made before.
	Older int `json:",omitempty"`
	// Foreign is what takes connections in the pod before the agent does.
	Foreign  []string `json:",omitempty"`
	Problem  string   `json:",omitempty"`
	Redirect Redirect
}

// State lists the doors, sorted by pod.
func (m *Manager) State() []PodState {
	doors := m.podCaptures()
	states := make([]PodState, len(doors))
	for i, d := range doors {
		states[i] = d.state()
	}
	slices.SortFunc(states, func(a, b PodState) int {
		return cmp.Or(strings.Compare(a.Pod.Namespace, b.Pod.Namespace), strings.Compare(a.Pod.Name, b.Pod.Name), strings.Compare(a.Pod.UID, b.Pod.UID))
	})
	return states
}

func (d *podCapture) state() PodState {
	d.mu.Lock()
	r, g := d.status, d.goal
	d.mu.Unlock()
	s := PodState{Pod: d.sandbox.Pod, Sandbox: d.sandbox.ID, NetNS: r.id.String(), Port: r.port, IPv6: r.ipv6, Captured: r.captured,
		Superseded: r.superseded, Connections: d.conns.count(), Older: r.findings.olderAll, Foreign: r.findings.foreign,
		Redirect: g.spec.Redirect}
	if r.err != nil {
		s.Problem = r.err.Error()
	}
	return s
}

// Problems lists the pods that should be captured and are not, sorted; pods that do not run are not among them.
func (m *Manager) Problems() []policy.CaptureProblem {
	sandboxes, _ := m.options.Sandboxes.Sandboxes()
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []policy.CaptureProblem
	for uid, spec := range m.desired {
		s, runs := sandboxes[uid]
		if !runs {
			continue
		}
		var err error
		switch d := m.captures[uid]; {
		case s.Host:
			err = failed(ReasonHostNetwork, errHostNetwork)
		case s.Err != nil:
			err = failed(ReasonNamespace, s.Err)
		case d != nil:
			err = d.problem()
		}
		if err == nil {
			continue
		}
		problem := policy.CaptureProblem{Namespace: spec.Pod.Namespace, Pod: spec.Pod.Name, Policies: spec.Policies, Message: err.Error()}
		if e, ok := errors.AsType[stepError](err); ok {
			problem.Reason = e.reason
		}
		list = append(list, problem)
	}
	slices.SortFunc(list, func(a, b policy.CaptureProblem) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod))
	})
	return list
}

var errHostNetwork = errors.New("the pod uses the node's network, which is never captured")

func (d *podCapture) problem() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status.err
}
