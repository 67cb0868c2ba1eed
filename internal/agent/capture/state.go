package capture

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

// Stats are totals since the start, and what is now.
type Stats struct {
	Captured, Connections   int64
	Accepted, Loops, Panics int64
	// Cut are connections that a forced stop ended, Older those that no policy governs because they are older than their pod's capture.
	Cut, Older int64
	// Refused and Shed are connections that were refused, and ended, for overload; SheddingPods are those whose new ones go direct or are refused.
	Refused, Shed, SheddingPods int64
	Shedding                    bool
	// RedirectStopped is set while the manager stops, once no pod is captured but those that are served to the end.
	RedirectStopped bool
}

// Stats counts. Captured are the pods whose new connections come to the agent.
func (m *Manager) Stats() Stats {
	s := Stats{Connections: m.load.connections.Load(), Accepted: m.accepted.Load(), Loops: m.loops.Load(), Panics: m.panics.Load(),
		Cut: m.cut.Load(), Refused: m.refused.Load(), Shed: m.shed.Load(), Shedding: m.load.overload() != nil}
	s.RedirectStopped = m.stopping.Load()
	for _, p := range m.podCaptures() {
		captured, older := p.counts()
		s.Older += older
		if p.overload() != nil {
			s.SheddingPods++
		}
		if captured {
			s.Captured++
			s.RedirectStopped = s.RedirectStopped && p.mustServe()
		}
	}
	return s
}

// PodState is one pod's capture as /debug shows it.
type PodState struct {
	Pod PodRef
	// Wanted: policies select the pod, Policies. Found: the container runtime knows its sandbox.
	Wanted, Found bool
	Policies      []policy.ID `json:",omitempty"`
	Sandbox       string
	NetNS         string
	Port          uint16
	IPv6          bool
	Captured      bool
	Superseded    bool
	// Since is when it was captured the last time.
	Since       time.Time `json:",omitzero"`
	Connections int
	// Older are open connections to what is redirected that were made before.
	Older int `json:",omitempty"`
	// OlderTo are where they go, maxOlderTo at most.
	OlderTo []netip.AddrPort `json:",omitempty"`
	// Foreign is what takes connections in the pod before the agent does.
	Foreign []string `json:",omitempty"`
	Problem string   `json:",omitempty"`
	// Reason is that of Problem in one word.
	Reason   string `json:",omitempty"`
	Redirect intent.Redirect
}

// State lists the captures, sorted by pod.
func (m *Manager) State() []PodState {
	captures := m.podCaptures()
	states := make([]PodState, len(captures))
	for i, p := range captures {
		states[i] = p.state()
	}
	sortStates(states)
	return states
}

// Wanted lists the captures as State does, and the pods that are to be captured and for which nothing has begun: those that are never captured, and those
// that do not run yet.
func (m *Manager) Wanted() []PodState {
	states := m.State()
	sandboxes, _ := m.options.Sandboxes.Sandboxes()
	m.mu.Lock()
	for uid, spec := range m.desired {
		if m.captures[uid] != nil {
			continue
		}
		sandbox, runs := sandboxes[uid]
		s := PodState{Pod: spec.Pod, Wanted: true, Found: runs, Policies: spec.Policies, Sandbox: sandbox.ID}
		if runs {
			s.explain(m.problem(sandbox, nil))
		}
		states = append(states, s)
	}
	m.mu.Unlock()
	sortStates(states)
	return states
}

func sortStates(states []PodState) {
	slices.SortFunc(states, func(a, b PodState) int {
		return cmp.Or(strings.Compare(a.Pod.Namespace, b.Pod.Namespace), strings.Compare(a.Pod.Name, b.Pod.Name), strings.Compare(a.Pod.UID, b.Pod.UID))
	})
}

// explain notes what is wrong, if anything.
func (s *PodState) explain(err error) {
	if err == nil {
		return
	}
	s.Problem = err.Error()
	if e, ok := errors.AsType[stepError](err); ok {
		s.Reason = e.reason
	}
}

func (p *podCapture) state() PodState {
	p.mu.Lock()
	status, g := p.status, p.goal
	p.mu.Unlock()
	s := PodState{Pod: p.sandbox.Pod, Wanted: g.mode == capturing, Found: true, Policies: g.spec.Policies, Since: status.since, Sandbox: p.sandbox.ID, NetNS: status.id.String(), Port: status.port, IPv6: status.ipv6,
		Captured: status.captured, Superseded: status.superseded, Connections: p.conns.count(), Older: status.findings.olderAll,
		OlderTo: status.findings.olderTo, Foreign: status.findings.foreign, Redirect: g.spec.Redirect}
	s.explain(status.err)
	return s
}
