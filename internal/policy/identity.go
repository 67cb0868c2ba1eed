package policy

import (
	"cmp"
	"strings"
)

// Kind says which resource kind a policy came from.
type Kind uint8

const (
	// KindRetryPolicy is a namespaced RetryPolicy.
	KindRetryPolicy Kind = iota
	// KindClusterRetryPolicy is a cluster-scoped ClusterRetryPolicy.
	KindClusterRetryPolicy
)

// ID names one policy resource. Namespace is empty for a ClusterRetryPolicy.
type ID struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String returns "namespace/name", or "name" for a cluster-scoped policy. Names cannot contain a slash, so the two never clash.
func (id ID) String() string {
	if id.Kind == KindClusterRetryPolicy {
		return id.Name
	}
	return id.Namespace + "/" + id.Name
}

// Compare orders IDs by kind, then namespace, then name.
func (id ID) Compare(o ID) int {
	return cmp.Or(cmp.Compare(id.Kind, o.Kind), cmp.Compare(id.Namespace, o.Namespace), cmp.Compare(id.Name, o.Name))
}

// ParseID reverses ID.String.
func ParseID(s string) ID {
	if ns, name, ok := strings.Cut(s, "/"); ok {
		return ID{Kind: KindRetryPolicy, Namespace: ns, Name: name}
	}
	return ID{Kind: KindClusterRetryPolicy, Name: s}
}

// Mode reports whether a policy acts.
type Mode uint8

const (
	// ModeEnforce applies the policy.
	ModeEnforce Mode = iota
	// ModeDryRun evaluates the policy and reports what it would have done, without doing it.
	ModeDryRun
	// ModeDisabled leaves traffic alone, as if the policy did not exist.
	ModeDisabled
)
