package v1alpha1

// Backoff is the wait before a retry. The wait before retry n (from 1) is
// initialInterval (Fixed), n × initialInterval (Linear), or initialInterval ×
// multiplier to the power of n-1 (Exponential); capped by maxInterval, then
// spread by jitter.
//
// +kubebuilder:validation:XValidation:rule="!has(self.initialInterval) || !self.initialInterval.matches('^[0hms]+$')",fieldPath=".initialInterval",message="initialInterval must be longer than 0s"
// +kubebuilder:validation:XValidation:rule="!has(self.maxInterval) || !self.maxInterval.matches('^[0hms]+$')",fieldPath=".maxInterval",message="maxInterval must be longer than 0s"
// +kubebuilder:validation:XValidation:rule="!has(self.initialInterval) || !has(self.maxInterval) || [self.initialInterval, self.maxInterval].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.initialInterval) <= duration(self.maxInterval)",fieldPath=".initialInterval",message="initialInterval must not be longer than maxInterval"
// +kubebuilder:validation:XValidation:rule="!has(self.multiplier) || !self.multiplier.matches('^[0-9]{1,3}([.][0-9]{1,3})?$') || (double(self.multiplier) >= 1.0 && double(self.multiplier) <= 10.0)",fieldPath=".multiplier",message="multiplier must be from 1 to 10, such as 2 or 1.5 in quotes"
// +kubebuilder:validation:XValidation:rule="!has(self.multiplier) || !has(self.strategy) || self.strategy == 'Exponential'",fieldPath=".multiplier",message="multiplier belongs to strategy Exponential: change strategy or remove multiplier"
// +kubebuilder:validation:XValidation:rule="(has(self.jitter) && self.jitter in ['Proportional', 'Additive']) == has(self.jitterPercent)",fieldPath=".jitterPercent",message="jitterPercent is required with jitter Proportional or Additive, and has no meaning with any other"
type Backoff struct {
	// strategy says how the wait grows. Defaults to Exponential.
	// +optional
	Strategy BackoffStrategy `json:"strategy,omitempty"`

	// initialInterval is the wait before the first retry. Defaults to 25ms.
	// +optional
	InitialInterval Duration `json:"initialInterval,omitempty"`

	// maxInterval caps the wait before jitter. Defaults to ten times
	// initialInterval (250ms).
	// +optional
	MaxInterval Duration `json:"maxInterval,omitempty"`

	// multiplier is the growth from retry to retry with Exponential, from 1
	// to 10, in quotes. Defaults to "2".
	// +optional
	Multiplier Factor `json:"multiplier,omitempty"`

	// jitter says how waits are spread, so that callers do not retry in step.
	// Defaults to Full.
	// +optional
	Jitter Jitter `json:"jitter,omitempty"`

	// jitterPercent is the spread of Proportional and Additive jitter, in
	// percent of the wait. Required with those in the same policy, refused with
	// others.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	JitterPercent *int32 `json:"jitterPercent,omitempty"`
}

// BackoffStrategy says how the wait grows from retry to retry.
// +kubebuilder:validation:Enum=Fixed;Linear;Exponential
type BackoffStrategy string

const (
	// BackoffFixed waits initialInterval every time.
	BackoffFixed BackoffStrategy = "Fixed"
	// BackoffLinear waits initialInterval longer every time.
	BackoffLinear BackoffStrategy = "Linear"
	// BackoffExponential waits multiplier times as long every time.
	BackoffExponential BackoffStrategy = "Exponential"
)

// Jitter says how a wait d is spread.
// +kubebuilder:validation:Enum=None;Full;Equal;Additive;Proportional;Decorrelated
type Jitter string

const (
	// JitterNone waits exactly d.
	JitterNone Jitter = "None"
	// JitterFull waits between 0 and d.
	JitterFull Jitter = "Full"
	// JitterEqual waits between d/2 and d.
	JitterEqual Jitter = "Equal"
	// JitterAdditive waits between d and d plus jitterPercent.
	JitterAdditive Jitter = "Additive"
	// JitterProportional waits between d minus and d plus jitterPercent.
	JitterProportional Jitter = "Proportional"
	// JitterDecorrelated waits between initialInterval and three times the
	// previous wait, at most maxInterval; strategy does not count then.
	JitterDecorrelated Jitter = "Decorrelated"
)
