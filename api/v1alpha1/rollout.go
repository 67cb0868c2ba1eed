package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Rollout brings a change of the policy to a share of the nodes, watches it, and
// then brings it to all, or takes it back.
//
// +kubebuilder:validation:XValidation:rule="!has(self.observe) || !self.observe.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self.observe) >= duration('10s') && duration(self.observe) <= duration('24h'))",fieldPath=".observe",message="rollout.observe must be from 10s to 24h"
type Rollout struct {
	// percent is the share of nodes that get the change first; at least one
	// does.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`

	// observe is how long it is watched there, from 10s to 24h. Defaults
	// to 5m.
	// +optional
	Observe Duration `json:"observe,omitempty"`

	// abortOn says when the change is taken back. Absent: with its defaults.
	// A change that a node refuses is taken back in any case.
	// +optional
	AbortOn *RolloutAbort `json:"abortOn,omitempty"`
}

// RolloutAbort says when a change is taken back.
type RolloutAbort struct {
	// successRateDropPercent takes the change back when the share of
	// successful calls falls by more than this many percent points below that
	// of the other nodes. Defaults to 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	SuccessRateDropPercent *int32 `json:"successRateDropPercent,omitempty"`
}

// RolloutPhase says how far a rollout is.
// +kubebuilder:validation:Enum=Pending;Updating;Observing;Complete;RolledBack
type RolloutPhase string

const (
	// RolloutPending has reached no node.
	RolloutPending RolloutPhase = "Pending"
	// RolloutUpdating waits for the first nodes to acknowledge the change.
	RolloutUpdating RolloutPhase = "Updating"
	// RolloutObserving watches the change on the first nodes.
	RolloutObserving RolloutPhase = "Observing"
	// RolloutComplete has brought the change to all nodes.
	RolloutComplete RolloutPhase = "Complete"
	// RolloutRolledBack has taken the change back.
	RolloutRolledBack RolloutPhase = "RolledBack"
)

// RolloutStatus says how far the rollout of a generation is.
type RolloutStatus struct {
	// phase says how far it is.
	// +required
	Phase RolloutPhase `json:"phase"`

	// generation is the metadata.generation that is rolled out.
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation"`

	// nodes is how many nodes get it first.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes int32 `json:"nodes,omitempty"`

	// allNodes is how many it concerns.
	// +optional
	// +kubebuilder:validation:Minimum=0
	AllNodes int32 `json:"allNodes,omitempty"`

	// boundary is the highest hash of the nodes that get it first.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	Boundary *int64 `json:"boundary,omitempty"`

	// until is when it is to be brought to all nodes.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// observedSeconds is for how long it has been observed; what the manager
	// was away for does not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedSeconds int32 `json:"observedSeconds,omitempty"`

	// changed are the calls of the nodes that have it.
	// +optional
	Changed RolloutCalls `json:"changed,omitzero"`

	// others are the calls of the other nodes in the same time.
	// +optional
	Others RolloutCalls `json:"others,omitzero"`

	// before are the calls of the minute before it was observed.
	// +optional
	Before RolloutCalls `json:"before,omitzero"`

	// message says what came of it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// RolloutCalls counts calls.
type RolloutCalls struct {
	// calls is how many ended.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Calls int64 `json:"calls,omitempty"`

	// successes is how many of them were successful.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Successes int64 `json:"successes,omitempty"`
}
