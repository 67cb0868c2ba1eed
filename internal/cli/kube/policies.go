package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Policy is a policy of either kind.
type Policy struct {
	// Object is a *v1alpha1.RetryPolicy or *v1alpha1.ClusterRetryPolicy.
	Object client.Object
	Status *v1alpha1.PolicyStatus
	Kind   string
}

// Resource is the policy as -o name prints it.
func (p *Policy) Resource() string {
	return strings.ToLower(p.Kind) + "." + v1alpha1.GroupName + "/" + p.Object.GetName()
}

// ResourceOf is a policy that fairlead names so, as -o name prints it.
func ResourceOf(key string) string {
	if _, name, namespaced := strings.Cut(key, "/"); namespaced {
		return strings.ToLower(v1alpha1.RetryPolicyKind) + "." + v1alpha1.GroupName + "/" + name
	}
	return strings.ToLower(v1alpha1.ClusterRetryPolicyKind) + "." + v1alpha1.GroupName + "/" + key
}

// Key is the policy as fairlead names it: namespace/name, or name.
func (p *Policy) Key() string {
	return strings.TrimPrefix(p.Object.GetNamespace()+"/"+p.Object.GetName(), "/")
}

// To are the destinations of the policy.
func (p *Policy) To() []v1alpha1.Destination {
	switch o := p.Object.(type) {
	case *v1alpha1.RetryPolicy:
		return o.Spec.To
	case *v1alpha1.ClusterRetryPolicy:
		return o.Spec.To
	}
	return nil
}

// Namespaced returns a RetryPolicy as a Policy.
func Namespaced(p *v1alpha1.RetryPolicy) Policy {
	return Policy{Object: p, Status: &p.Status, Kind: v1alpha1.RetryPolicyKind}
}

// Clusterwide returns a ClusterRetryPolicy as a Policy.
func Clusterwide(p *v1alpha1.ClusterRetryPolicy) Policy {
	return Policy{Object: p, Status: &p.Status, Kind: v1alpha1.ClusterRetryPolicyKind}
}

// Policies lists policies: RetryPolicies by namespace and name, then ClusterRetryPolicies by name.
func Policies(ctx context.Context, c client.Reader, options *client.ListOptions) ([]Policy, error) {
	var own v1alpha1.RetryPolicyList
	if err := c.List(ctx, &own, options); err != nil {
		return nil, Explain(err, "list RetryPolicies")
	}
	var all v1alpha1.ClusterRetryPolicyList
	if err := c.List(ctx, &all, &client.ListOptions{LabelSelector: options.LabelSelector}); err != nil {
		return nil, Explain(err, "list ClusterRetryPolicies")
	}
	var out []Policy
	for i := range own.Items {
		out = append(out, Namespaced(&own.Items[i]))
	}
	for i := range all.Items {
		out = append(out, Clusterwide(&all.Items[i]))
	}
	slices.SortStableFunc(out, func(a, b Policy) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Object.GetNamespace(), b.Object.GetNamespace()), cmp.Compare(a.Object.GetName(), b.Object.GetName()))
	})
	return out, nil
}

// kinds are the words before a slash that mean a kind of policy.
var kinds = map[string]string{
	"rp": v1alpha1.RetryPolicyKind, "retrypolicy": v1alpha1.RetryPolicyKind, "retrypolicies": v1alpha1.RetryPolicyKind,
	"crp": v1alpha1.ClusterRetryPolicyKind, "clusterretrypolicy": v1alpha1.ClusterRetryPolicyKind, "clusterretrypolicies": v1alpha1.ClusterRetryPolicyKind,
}

// ParsePolicy reads a policy's name as users write it: "payments", "rp/payments", "crp/default". Without a kind it returns "" for it.
func ParsePolicy(arg string) (kind, name string, err error) {
	word, name, written := strings.Cut(arg, "/")
	if !written {
		return "", arg, nil
	}
	word, _, _ = strings.Cut(strings.ToLower(word), ".") // as in retrypolicy.policy.fairlead.dev/name
	if kind = kinds[word]; kind == "" || name == "" {
		return "", "", fmt.Errorf("%q names no policy: write payments, retrypolicy/payments or clusterretrypolicy/default, and the namespace with -n", arg)
	}
	return kind, name, nil
}

// FindPolicy reads the policy that an argument names: a RetryPolicy of the namespace, or, without a kind and if there is no such, a
// ClusterRetryPolicy.
func (e *Env) FindPolicy(ctx context.Context, c client.Reader, arg string) (*Policy, error) {
	kind, name, err := ParsePolicy(arg)
	if err != nil {
		return nil, err
	}
	namespace, err := e.Namespace()
	if err != nil {
		return nil, err
	}
	if kind != v1alpha1.ClusterRetryPolicyKind {
		p := &v1alpha1.RetryPolicy{}
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, p)
		if err == nil {
			found := Namespaced(p)
			return &found, nil
		}
		if kind != "" || !apierrors.IsNotFound(err) {
			return nil, Explain(err, "read RetryPolicy "+namespace+"/"+name)
		}
	}
	p := &v1alpha1.ClusterRetryPolicy{}
	err = c.Get(ctx, client.ObjectKey{Name: name}, p)
	switch {
	case apierrors.IsNotFound(err) && kind == "":
		return nil, fmt.Errorf("there is no RetryPolicy %s in namespace %s, and no ClusterRetryPolicy of that name: see kubectl get rp,crp -A", name, namespace)
	case err != nil:
		return nil, Explain(err, "read ClusterRetryPolicy "+name)
	}
	found := Clusterwide(p)
	return &found, nil
}
