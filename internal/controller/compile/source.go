package compile

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Level orders policies: a later level is merged over an earlier one.
type Level uint8

// The levels, least significant first.
const (
	// LevelDefaults is a ClusterRetryPolicy with defaults.
	LevelDefaults Level = iota
	// LevelNamespace is a RetryPolicy that selects every pod of its namespace.
	LevelNamespace
	// LevelPods is a RetryPolicy with a podSelector.
	LevelPods
	// LevelOverrides is a ClusterRetryPolicy with overrides.
	LevelOverrides
)

// Source is a policy resource of either kind, as written.
type Source struct {
	ID         policy.ID
	Created    time.Time
	Generation int64
	Mode       v1alpha1.Mode
	Level      Level
	// NamespaceSelector is nil for a RetryPolicy, which selects in its own namespace.
	NamespaceSelector *metav1.LabelSelector
	PodSelector       *metav1.LabelSelector
	To                []v1alpha1.Destination
	Body              *v1alpha1.PolicyBody
	Rollout           *v1alpha1.Rollout
	// InForce is the generation that was in force by the policy's status, 0 for none, and Previous that generation, if it is not this one and
	// was kept. RolledOut is how far the rollout was, by the status.
	InForce   int64
	Previous  *Source
	RolledOut *v1alpha1.RolloutStatus
	// Forced is what the policy's annotation says about its circuit breakers.
	Forced Forced
	// Faults is what the policy injects now.
	Faults ActiveFaults
}

// FromRetryPolicy returns p as a Source. The Source shares p's memory, which must not change any more.
func FromRetryPolicy(p *v1alpha1.RetryPolicy) Source {
	level := LevelNamespace
	if s := p.Spec.PodSelector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
		level = LevelPods
	}
	return Source{
		ID:          policy.ID{Kind: policy.KindRetryPolicy, Namespace: p.Namespace, Name: p.Name},
		Created:     p.CreationTimestamp.Time,
		Generation:  p.Generation,
		Mode:        p.Spec.Mode,
		Level:       level,
		PodSelector: p.Spec.PodSelector,
		To:          p.Spec.To,
		Body:        &p.Spec.PolicyBody,
		Rollout:     p.Spec.Rollout,
		InForce:     p.Status.InForceGeneration,
		RolledOut:   p.Status.Rollout,
	}
}

// FromClusterRetryPolicy returns p as a Source, sharing its memory.
func FromClusterRetryPolicy(p *v1alpha1.ClusterRetryPolicy) Source {
	level := LevelDefaults
	if p.Spec.Overrides != nil {
		level = LevelOverrides
	}
	return Source{
		ID:                policy.ID{Kind: policy.KindClusterRetryPolicy, Name: p.Name},
		Created:           p.CreationTimestamp.Time,
		Generation:        p.Generation,
		Mode:              p.Spec.Mode,
		Level:             level,
		NamespaceSelector: p.Spec.NamespaceSelector,
		PodSelector:       p.Spec.PodSelector,
		To:                p.Spec.To,
		Body:              p.Spec.Body(),
		Rollout:           p.Spec.Rollout,
		InForce:           p.Status.InForceGeneration,
		RolledOut:         p.Status.Rollout,
	}
}

// Enforced reports whether the policy acts: it does unless it is a dry run or disabled.
func (s *Source) Enforced() bool { return s.Mode == "" || s.Mode == v1alpha1.ModeEnforce }

// field returns the path of a field of the policy's body as users write it.
func (s *Source) field(path string) string {
	switch s.Level {
	case LevelDefaults:
		return "defaults." + path
	case LevelOverrides:
		return "overrides." + path
	case LevelNamespace, LevelPods:
	}
	return path
}

// older reports whether s takes precedence over o by age, then by name.
func (s *Source) older(o *Source) bool {
	if !s.Created.Equal(o.Created) {
		return s.Created.Before(o.Created)
	}
	return strings.Compare(s.ID.String(), o.ID.String()) < 0
}
