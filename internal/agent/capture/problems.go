package capture

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/policy"
)

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
		err := m.problem(s, m.captures[uid])
		if err == nil {
			continue
		}
		problem := policy.CaptureProblem{Namespace: spec.Pod.Namespace, Pod: spec.Pod.Name, Policies: spec.Policies, Message: err.Error()}
		if e, ok := errors.AsType[stepError](err); ok {
			problem.Reason = e.reason
		}
		list = append(list, problem)
	}
	sortProblems(list)
	return list
}

// problem is why the pod in a sandbox is not captured, or nil. p is its capture, if it has one.
func (m *Manager) problem(s pods.Sandbox, p *podCapture) error {
	switch {
	case s.Host:
		return failed(ReasonHostNetwork, errHostNetwork)
	case s.Err != nil:
		return failed(ReasonNamespace, s.Err)
	case p != nil:
		return p.problem()
	}
	return nil
}

// Notices lists what there is to know of captured pods, sorted.
func (m *Manager) Notices() []policy.CaptureProblem {
	var list []policy.CaptureProblem
	for _, p := range m.podCaptures() {
		p.mu.Lock()
		status, spec := p.status, p.goal.spec
		p.mu.Unlock()
		if !status.captured {
			continue
		}
		notice := policy.CaptureProblem{Namespace: spec.Pod.Namespace, Pod: spec.Pod.Name, Policies: spec.Policies}
		if status.findings.rewritten {
			notice.Reason, notice.Message = ReasonRulesChanged, "something in the pod has changed the agent's rules; they were written again"
			list = append(list, notice)
		}
		if err, ok := errors.AsType[overloadError](loaded(&p.load.shed)); ok && p.refuses() {
			notice.Reason, notice.Message = ReasonOverload, err.refused()
			list = append(list, notice)
		}
		if foreign := status.findings.foreign; len(foreign) > 0 {
			notice.Reason = ReasonForeignRedirect
			notice.Message = "another proxy takes the pod's connections first (" + strings.Join(foreign, ", ") + "); what it sends is captured"
			list = append(list, notice)
		}
		if status.findings.quic {
			notice.Policies, notice.Reason, notice.Message = spec.meetingQUIC(), ReasonQUICSeen, quicMessage
			list = append(list, notice)
		}
	}
	sortProblems(list)
	return oneOfQUIC(list)
}

func sortProblems(list []policy.CaptureProblem) {
	slices.SortFunc(list, func(a, b policy.CaptureProblem) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod), strings.Compare(a.Reason, b.Reason))
	})
}
