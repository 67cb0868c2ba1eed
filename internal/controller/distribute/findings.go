package distribute

import (
	"slices"
	"sync"

	"fairlead.dev/fairlead/internal/policy"
)

// podFindings is what an agent reported about pods. It holds until the agent reports something else or goes.
type podFindings struct {
	problems, notices []policy.CaptureProblem
	older             []policy.OlderConnections
}

// findings are the podFindings of all agents.
type findings struct {
	mu sync.Mutex
	// guarded by mu
	byAgent   map[agentID]podFindings
	concerned map[policy.ID]map[agentID]struct{} // agents that reported something about the pods of a policy
}

// podFindingsOf returns what a report says about the pods of some policies.
func podFindingsOf(r *policy.Report, mine *reportable) podFindings {
	f := podFindings{problems: allowedProblems(r.Problems, mine), notices: allowedProblems(r.Notices, mine)}
	for _, o := range r.Older {
		if o.Connections > 0 && mine.has(o.Policy) {
			f.older = append(f.older, o)
		}
	}
	return f
}

func allowedProblems(problems []policy.CaptureProblem, mine *reportable) []policy.CaptureProblem {
	var out []policy.CaptureProblem
	for _, p := range problems {
		p.Policies = slices.DeleteFunc(slices.Clone(p.Policies), func(id policy.ID) bool { return !mine.has(id) })
		if len(p.Policies) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func (f *podFindings) empty() bool { return len(f.problems)+len(f.notices)+len(f.older) == 0 }

// policies returns the policies that f is about.
func (f *podFindings) policies() policySet {
	var out policySet
	for _, list := range [][]policy.CaptureProblem{f.problems, f.notices} {
		for _, p := range list {
			out.add(p.Policies...)
		}
	}
	for _, o := range f.older {
		out.add(o.Policy)
	}
	return out
}

// sameText reports whether o is the same but for numbers.
func (f *podFindings) sameText(o *podFindings) bool {
	same := func(a, b policy.CaptureProblem) bool {
		return a.Namespace == b.Namespace && a.Pod == b.Pod && a.Reason == b.Reason && a.Message == b.Message && slices.Equal(a.Policies, b.Policies)
	}
	return slices.EqualFunc(f.problems, o.problems, same) && slices.EqualFunc(f.notices, o.notices, same) &&
		slices.EqualFunc(f.older, o.older, func(a, b policy.OlderConnections) bool { return a.Policy == b.Policy })
}

// set replaces the findings of an agent. It returns changed with the policies of which they are different now.
func (f *findings) set(a agentID, next podFindings, changed policySet) policySet {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.byAgent[a]
	was, is := last.policies(), next.policies()
	if !last.sameText(&next) {
		for _, ids := range []policySet{was, is} {
			for id := range ids {
				changed.add(id)
			}
		}
	}
	if f.byAgent[a] = next; next.empty() {
		delete(f.byAgent, a)
	}
	for id := range was {
		if _, still := is[id]; still {
			continue
		}
		if delete(f.concerned[id], a); len(f.concerned[id]) == 0 {
			delete(f.concerned, id)
		}
	}
	for id := range is {
		if f.concerned[id] == nil {
			f.concerned[id] = map[agentID]struct{}{}
		}
		f.concerned[id][a] = struct{}{}
	}
	return changed
}

// addTo adds what agents reported about a policy's pods to its figures.
func (f *findings) addTo(out *Figures, id policy.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for a := range f.concerned[id] {
		of := f.byAgent[a]
		out.Problems = appendOf(out.Problems, of.problems, id)
		out.Notices = appendOf(out.Notices, of.notices, id)
		for _, o := range of.older {
			if o.Policy == id {
				out.OlderConnections += o.Connections
			}
		}
	}
	out.Uncaptured = len(out.Problems)
	out.Problems, out.Notices = bounded(out.Problems), bounded(out.Notices)
}
