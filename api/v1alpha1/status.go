package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of the lists in status. What does not fit is counted beside the list.
const (
	// MaxNodeFailures is how many failing nodes nodes.failures names.
	MaxNodeFailures = 10
	// MaxDestinationStatuses is how many destinations status describes.
	MaxDestinationStatuses = 16
	// MaxNotEnforced is how many fields notEnforced lists.
	MaxNotEnforced = 32
	// MaxTLSFailures is how many reasons tlsFailures lists.
	MaxTLSFailures = 8
	// MaxPolicyReferences is how many policies each list of effective names.
	MaxPolicyReferences = 16
)

// PolicyStatus is what became of a policy. Nothing in it grows with the number
// of nodes or pods.
type PolicyStatus struct {
	// conditions say whether the policy is in force: Accepted, Programmed and
	// Ready always; Reconciling, Stalled, Conflicted, PartiallyEnforced,
	// BreakerForced, FaultsActive and DryRun while they are true.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation this status is about.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// inForceGeneration is the metadata.generation that is in force. While this
	// generation is not accepted it is that of the last good version; while it
	// is rolled out, that of the nodes not reached. Absent while none is.
	// +optional
	// +kubebuilder:validation:Minimum=0
	InForceGeneration int64 `json:"inForceGeneration,omitempty"`

	// mode is the mode in force: spec.mode, or Enforce where that is absent.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// matchedNamespaces is how many namespaces a ClusterRetryPolicy selects.
	// Absent on a RetryPolicy.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MatchedNamespaces *int32 `json:"matchedNamespaces,omitempty"`

	// matchedPods is how many pods the policy governs.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MatchedPods *int32 `json:"matchedPods,omitempty"`

	// hostNetworkPods is how many pods the policy selects in vain, because
	// they are on the host's network.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HostNetworkPods *int32 `json:"hostNetworkPods,omitempty"`

	// nodes says how far the policy has reached the nodes of those pods.
	// +optional
	Nodes *NodesStatus `json:"nodes,omitempty"`

	// rollout is how the last change came to the nodes. Absent where it came to
	// all at once.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`

	// destinations describe the entries of to, in their order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Destinations []DestinationStatus `json:"destinations,omitempty"`

	// destinationSummary is the destinations in one line, for kubectl get, such
	// as "warehouse/inventory:80, api.payments.example and 2 more".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	DestinationSummary string `json:"destinationSummary,omitempty"`

	// effective says how this policy merges with others.
	// +optional
	Effective *EffectiveStatus `json:"effective,omitempty"`

	// traffic is what the governed calls did lately. Absent while there are no
	// figures: no pod is selected, or no agent of theirs has reported for a
	// minute. Counters that are absent are 0.
	// +optional
	Traffic *TrafficStatus `json:"traffic,omitempty"`
}

// NodesStatus counts the nodes that run governed pods.
type NodesStatus struct {
	// desired is how many nodes run governed pods.
	// +required
	// +kubebuilder:validation:Minimum=0
	Desired int32 `json:"desired"`

	// programmed is how many of them have acknowledged this generation.
	// +required
	// +kubebuilder:validation:Minimum=0
	Programmed int32 `json:"programmed"`

	// failed is how many of them have refused this generation.
	// +required
	// +kubebuilder:validation:Minimum=0
	Failed int32 `json:"failed"`

	// summary is programmed/desired, such as 3/3, for kubectl get.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary,omitempty"`

	// failures names at most ten of the nodes that refused, by node name;
	// failed counts them all.
	// +optional
	// +listType=map
	// +listMapKey=node
	// +kubebuilder:validation:MaxItems=10
	Failures []NodeFailure `json:"failures,omitempty"`
}

// NodeFailure says why a node refused the policy.
type NodeFailure struct {
	// node is the node's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`

	// reason is why, in one CamelCase word.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`

	// message is why, in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// DestinationStatus describes one entry of to.
type DestinationStatus struct {
	// to is the destination in one word, such as warehouse/inventory:80.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	To string `json:"to"`

	// protocol is what is spoken there, as declared or as found out.
	// +optional
	Protocol Protocol `json:"protocol,omitempty"`

	// endpoints is how many endpoints a service has; at 0 calls fail as without
	// the policy. Absent for others.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Endpoints *int32 `json:"endpoints,omitempty"`

	// ejected is how many of them breakers keep out (circuitBreaker.scope: Endpoint),
	// on the node that keeps out the most. Absent if none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ejected *int32 `json:"ejected,omitempty"`

	// breaker is the worst state of the destination's breakers on all nodes. Absent
	// without a circuitBreaker.
	// +optional
	Breaker BreakerState `json:"breaker,omitempty"`

	// breakerSince is when the first of them got into that state. Absent until one
	// has changed.
	// +optional
	BreakerSince *metav1.Time `json:"breakerSince,omitempty"`

	// tlsFailures lists why the agents' own TLS to it failed within the last
	// minute, as the metric names it, such as certificate_expired.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=64
	TLSFailures []string `json:"tlsFailures,omitempty"`

	// enforced says how much of the policy is enforced for this destination.
	// +optional
	Enforced Enforcement `json:"enforced,omitempty"`

	// notEnforced lists the fields that are not, and why.
	// +optional
	// +listType=map
	// +listMapKey=field
	// +kubebuilder:validation:MaxItems=32
	NotEnforced []NotEnforcedField `json:"notEnforced,omitempty"`
}

// NotEnforcedField is a field that is set but not enforced.
type NotEnforcedField struct {
	// field is its path below spec, such as retry.hedging.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Field string `json:"field"`

	// reason is why, in one CamelCase word: one of the reasons of the
	// PartiallyEnforced condition.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
}

// Enforcement says how much of a policy is enforced.
// +kubebuilder:validation:Enum=Full;Partial;None
type Enforcement string

const (
	// EnforcementFull enforces every field that is set.
	EnforcementFull Enforcement = "Full"
	// EnforcementPartial enforces some; notEnforced lists the others.
	EnforcementPartial Enforcement = "Partial"
	// EnforcementNone enforces nothing.
	EnforcementNone Enforcement = "None"
)

// BreakerState is the state of a circuit breaker.
// +kubebuilder:validation:Enum=Closed;HalfOpen;Open
type BreakerState string

const (
	// BreakerStateClosed lets calls pass.
	BreakerStateClosed BreakerState = "Closed"
	// BreakerStateHalfOpen lets probes pass.
	BreakerStateHalfOpen BreakerState = "HalfOpen"
	// BreakerStateOpen rejects calls.
	BreakerStateOpen BreakerState = "Open"
)

// EffectiveStatus says how a policy merges with others that govern some of the
// same calls.
type EffectiveStatus struct {
	// overriddenBy lists the policies that replace some of this one's fields.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	OverriddenBy []PolicyReference `json:"overriddenBy,omitempty"`

	// moreOverriddenBy is how many did not fit that list.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MoreOverriddenBy int32 `json:"moreOverriddenBy,omitempty"`

	// overrides lists the policies some of whose fields this one replaces.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Overrides []PolicyReference `json:"overrides,omitempty"`

	// moreOverrides is how many did not fit that list.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MoreOverrides int32 `json:"moreOverrides,omitempty"`
}

// PolicyReference names another policy.
type PolicyReference struct {
	// kind is RetryPolicy or ClusterRetryPolicy.
	// +required
	// +kubebuilder:validation:Enum=RetryPolicy;ClusterRetryPolicy
	Kind string `json:"kind"`

	// namespace is the policy's namespace. Absent for a ClusterRetryPolicy.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name is the policy's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// blocks lists the top-level blocks in which fields are replaced, such as
	// retry.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Blocks []string `json:"blocks,omitempty"`
}
