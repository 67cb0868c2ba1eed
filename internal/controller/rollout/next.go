package rollout

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
)

const (
	// defaultObserve is observe where that is absent.
	defaultObserve = 5 * time.Minute
	// step is how exactly the time that has been observed is kept in a status, which is written as often as it changes.
	step = 10 * time.Second
)

// Input is what a rollout depends on besides its state.
type Input struct {
	Now time.Time
	UID string // of the policy
	// Nodes are those that the change concerns.
	Nodes []string
	// Kept says that the generation before is kept where a manager finds it that starts.
	Kept bool
	// Acknowledged says that all nodes that should have the change by now have acknowledged it.
	Acknowledged bool
	// Refusal says which node refused the change, and why; empty: none did.
	Refusal string
	// Observed is for how long the change has been observed.
	Observed time.Duration
	// Changed and Others are the calls since the last time, of the nodes that have the change and of the others. Before are those of the last
	// minute.
	Changed, Others, Before v1alpha1.RolloutCalls
}

// Start returns the state of a rollout that has reached no node.
func Start(generation int64) v1alpha1.RolloutStatus {
	return v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutPending, Generation: generation}
}

// UnderWay reports whether a rollout has yet to end.
func UnderWay(s *v1alpha1.RolloutStatus) bool {
	return s != nil && s.Phase != v1alpha1.RolloutComplete && s.Phase != v1alpha1.RolloutRolledBack
}

// Reaches reports whether a node has the change.
func Reaches(s *v1alpha1.RolloutStatus, uid, node string) bool {
	switch {
	case s == nil || s.Phase == v1alpha1.RolloutComplete:
		return true
	case s.Boundary == nil || s.Phase == v1alpha1.RolloutPending || s.Phase == v1alpha1.RolloutRolledBack:
		return false
	}
	return int64(Hash(uid, node)) <= *s.Boundary
}

// ObserveFor returns for how long a change is observed.
func ObserveFor(spec *v1alpha1.Rollout) time.Duration {
	if d, err := spec.Observe.Parse(); err == nil {
		return d
	}
	return defaultObserve
}

// Next returns the state that follows. Of several steps that can be taken it takes one: it is called again when that is in force.
func Next(spec *v1alpha1.Rollout, s v1alpha1.RolloutStatus, in *Input) v1alpha1.RolloutStatus {
	switch {
	case !UnderWay(&s):
		return s
	case len(in.Nodes) == 0:
		return complete(s, "It concerns no node.")
	case s.Phase == v1alpha1.RolloutPending:
		if !in.Kept {
			return s
		}
		return begin(spec, s, in)
	}
	s.AllNodes, s.Nodes = int32(len(in.Nodes)), 0
	if s.Boundary != nil {
		s.Nodes = int32(count(in.UID, in.Nodes, uint32(*s.Boundary)))
	}
	switch {
	case in.Refusal != "":
		return rollBack(s, in.Refusal)
	case s.Nodes == 0: // those that had it are gone
		return begin(spec, s, in)
	case s.Phase == v1alpha1.RolloutUpdating && in.Acknowledged:
		s.Phase, s.Before = v1alpha1.RolloutObserving, in.Before
		s.Until = until(spec, in)
	case s.Phase == v1alpha1.RolloutObserving:
		return observe(spec, s, in)
	}
	return s
}

// begin brings the change to the first nodes.
func begin(spec *v1alpha1.Rollout, s v1alpha1.RolloutStatus, in *Input) v1alpha1.RolloutStatus {
	boundary := Boundary(in.UID, in.Nodes, spec.Percent)
	at := int64(boundary)
	return v1alpha1.RolloutStatus{
		Phase: v1alpha1.RolloutUpdating, Generation: s.Generation, Boundary: &at,
		Nodes: int32(count(in.UID, in.Nodes, boundary)), AllNodes: int32(len(in.Nodes)),
	}
}

// until returns when the observation ends if nothing comes between.
func until(spec *v1alpha1.Rollout, in *Input) *metav1.Time {
	t := metav1.NewTime(in.Now.Add(ObserveFor(spec) - in.Observed).UTC().Round(time.Second))
	return &t
}

// observe counts calls, and ends the rollout when it is time or the change is worse than what was before.
func observe(spec *v1alpha1.Rollout, s v1alpha1.RolloutStatus, in *Input) v1alpha1.RolloutStatus {
	s.Changed, s.Others = plus(s.Changed, in.Changed), plus(s.Others, in.Others)
	length, drop := ObserveFor(spec), dropOf(spec)
	over := in.Observed >= length
	s.ObservedSeconds = int32(min(in.Observed, length).Truncate(step) / time.Second)
	if next := until(spec, in); s.Until == nil || next.Sub(s.Until.Time).Abs() > step {
		s.Until = next // the manager was away, or nodes were
	}
	switch {
	case worse(&s, drop, certain), over && worse(&s, drop, likely):
		return rollBack(s, comparison(&s))
	case over && enough(&s):
		return complete(s, comparison(&s))
	case over:
		return complete(s, tooFew(&s))
	}
	return s
}

func plus(a, b v1alpha1.RolloutCalls) v1alpha1.RolloutCalls {
	return v1alpha1.RolloutCalls{Calls: a.Calls + b.Calls, Successes: a.Successes + b.Successes}
}

func complete(s v1alpha1.RolloutStatus, message string) v1alpha1.RolloutStatus {
	s.Phase, s.Until, s.Boundary, s.Message = v1alpha1.RolloutComplete, nil, nil, message
	return s
}

func rollBack(s v1alpha1.RolloutStatus, message string) v1alpha1.RolloutStatus {
	s.Phase, s.Until, s.Boundary, s.Message = v1alpha1.RolloutRolledBack, nil, nil, message
	return s
}
