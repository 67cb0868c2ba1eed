package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// GroupName is the API group of fairlead's policies.
	GroupName = "policy.fairlead.dev"
	// Version is the version of the API in this package.
	Version = "v1alpha1"

	// RetryPolicyKind is the kind of a namespace's policy.
	RetryPolicyKind = "RetryPolicy"
	// ClusterRetryPolicyKind is the kind of a policy for many namespaces.
	ClusterRetryPolicyKind = "ClusterRetryPolicy"
)

// GroupVersion returns the group and version of the types in this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: GroupName, Version: Version}
}

// AddToScheme teaches a scheme the types in this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(),
		&RetryPolicy{}, &RetryPolicyList{},
		&ClusterRetryPolicy{}, &ClusterRetryPolicyList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
