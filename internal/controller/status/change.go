package status

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Change says what makes one status differ from another, the most urgent part of it.
type Change string

// The changes. Their values are a metric's labels.
const (
	ChangeNone      Change = "none"
	ChangeCondition Change = "condition" // a condition or the generation
	ChangeCounts    Change = "counts"    // figures of the cluster, messages, or the state of circuit breakers
	ChangeTraffic   Change = "traffic"   // only figures of traffic
)

// Compare says what makes next differ from base.
func Compare(base, next *v1alpha1.PolicyStatus) Change {
	if base.ObservedGeneration != next.ObservedGeneration || base.Mode != next.Mode || len(base.Conditions) != len(next.Conditions) {
		return ChangeCondition
	}
	x, y := *base, *next
	x.Traffic, y.Traffic, x.Conditions = nil, nil, nil
	for i := range next.Conditions {
		b := &next.Conditions[i]
		a := meta.FindStatusCondition(base.Conditions, b.Type)
		if a == nil || a.Status != b.Status || a.Reason != b.Reason || a.ObservedGeneration != b.ObservedGeneration {
			return ChangeCondition
		}
		kept := *a
		if b.Type == v1alpha1.ConditionDryRun { // its message says what the figures do
			kept.Message = b.Message
		}
		x.Conditions = append(x.Conditions, kept) // the API server keeps them in an order of its own
	}
	switch {
	case !equal(&x, &y), !SameBreaker(base.Traffic, next.Traffic):
		return ChangeCounts
	case !SameTraffic(base.Traffic, next.Traffic):
		return ChangeTraffic
	}
	return ChangeNone
}

// equal compares as the API server does: an empty list is an absent one.
func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

// SameBreaker reports whether both are figures, or none, and show the same breakers. Figures of pods that are gone must not stand for others,
// and ten seconds are long for who asks why calls fail.
func SameBreaker(a, b *v1alpha1.TrafficStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Breaker == b.Breaker
}

// SameTraffic reports whether the figures are equal, whenever they were taken.
func SameTraffic(a, b *v1alpha1.TrafficStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := a.DeepCopy(), b.DeepCopy()
	x.AsOf, y.AsOf = nil, nil
	return equal(x, y)
}
