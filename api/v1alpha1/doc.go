// Package v1alpha1 is the API that users of fairlead write: RetryPolicy,
// ClusterRetryPolicy, and the conditions that answer them. It holds types,
// their documentation and their validation, and must not hold behaviour,
// defaults, or anything that imports more than apimachinery.
//
// # Absence
//
// Policies merge (see RetryPolicySpec), so "not set" must stay different from
// any value: the schema sets no defaults, and every optional field can tell.
// Numbers, booleans, quantities and blocks are pointers; nil means not set.
// Strings (durations, enums, names) have no valid empty value, so "" means not
// set. Lists replace each other as a whole: nil means not set, and where an
// empty list is legal, it means "none".
//
// # Validation
//
// Whatever one object alone can get wrong is refused by the API server, from
// the markers on these types. What needs other objects is answered by the
// Accepted condition.
//
// +kubebuilder:object:generate=true
// +groupName=policy.fairlead.dev
package v1alpha1
