package compile

import (
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Same reports whether two versions of a policy ask for the same, however they come to the nodes.
func (s *Source) Same(o *Source) bool {
	return s.Enforced() == o.Enforced() && (s.Enforced() || s.Mode == o.Mode) && s.Level == o.Level &&
		equality.Semantic.DeepEqual(s.NamespaceSelector, o.NamespaceSelector) && equality.Semantic.DeepEqual(s.PodSelector, o.PodSelector) &&
		equality.Semantic.DeepEqual(s.To, o.To) && equality.Semantic.DeepEqual(s.Body, o.Body)
}

// WithForced returns the version with what the policy's annotation says now: that is about no version of it, and holds on every node at once.
func (p *Policy) WithForced(f Forced) *Policy {
	if p == nil || p.Forced == f {
		return p
	}
	forced := *p
	forced.Forced = f
	return &forced
}

// Encode returns the version of a policy as JSON, for DecodeSource.
func (s *Source) Encode() ([]byte, error) {
	meta := metav1.ObjectMeta{
		Namespace: s.ID.Namespace, Name: s.ID.Name, Generation: s.Generation, CreationTimestamp: metav1.NewTime(s.Created),
	}
	if s.ID.Kind == policy.KindClusterRetryPolicy {
		spec := v1alpha1.ClusterRetryPolicySpec{Mode: s.Mode, NamespaceSelector: s.NamespaceSelector, PodSelector: s.PodSelector, To: s.To, Rollout: s.Rollout}
		if s.Level == LevelOverrides {
			spec.Overrides = s.Body
		} else {
			spec.Defaults = s.Body
		}
		return json.Marshal(&v1alpha1.ClusterRetryPolicy{TypeMeta: typeMeta(v1alpha1.ClusterRetryPolicyKind), ObjectMeta: meta, Spec: spec})
	}
	spec := v1alpha1.RetryPolicySpec{Mode: s.Mode, PodSelector: s.PodSelector, To: s.To, Rollout: s.Rollout}
	if s.Body != nil {
		spec.PolicyBody = *s.Body
	}
	return json.Marshal(&v1alpha1.RetryPolicy{TypeMeta: typeMeta(v1alpha1.RetryPolicyKind), ObjectMeta: meta, Spec: spec})
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: kind}
}

// DecodeSource reads what Encode returned for a policy.
func DecodeSource(id policy.ID, text []byte) (Source, error) {
	var src Source
	if id.Kind == policy.KindClusterRetryPolicy {
		p := &v1alpha1.ClusterRetryPolicy{}
		if err := json.Unmarshal(text, p); err != nil {
			return Source{}, fmt.Errorf("decode a version of %s: %w", id, err)
		}
		src = FromClusterRetryPolicy(p)
	} else {
		p := &v1alpha1.RetryPolicy{}
		if err := json.Unmarshal(text, p); err != nil {
			return Source{}, fmt.Errorf("decode a version of %s: %w", id, err)
		}
		src = FromRetryPolicy(p)
	}
	if src.ID != id {
		return Source{}, errors.New("decode a version of " + id.String() + ": it is of " + src.ID.String())
	}
	return src, nil
}
