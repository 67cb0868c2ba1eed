package v1alpha1

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

	// abortOn says when the change is taken back.
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
