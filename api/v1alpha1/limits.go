package v1alpha1

// RateLimit bounds how many calls start per time, as a token bucket: in any time
// t at most burst + requests × t / per calls start. Calls above it are rejected
// (429, rate_limited, with Retry-After), or wait. Retries do not count.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.requests)",message="rateLimit needs requests, such as requests: 100 (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="!has(self.per) || !self.per.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self.per) >= duration('10ms') && duration(self.per) <= duration('24h'))",fieldPath=".per",message="rateLimit.per must be from 10ms to 24h"
// +kubebuilder:validation:XValidation:rule="(has(self.onLimit) && self.onLimit == 'Queue') == (has(self.maxWait) && !self.maxWait.matches('^[0hms]+$'))",fieldPath=".maxWait",message="onLimit: Queue needs a maxWait longer than 0s, and maxWait needs onLimit: Queue"
type RateLimit struct {
	// mode Disabled removes what an earlier policy set.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// requests is how many calls may start per time.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Requests *int32 `json:"requests,omitempty"`

	// per is that time, from 10ms to 24h. Defaults to 1s.
	// +optional
	Per Duration `json:"per,omitempty"`

	// burst is how many calls may start at once after a pause. Defaults to
	// requests.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Burst *int32 `json:"burst,omitempty"`

	// scope says whose calls count together. Defaults to Pod.
	// +optional
	Scope SharingScope `json:"scope,omitempty"`

	// onLimit says what happens to calls above the limit. Defaults to Reject.
	// +optional
	OnLimit LimitAction `json:"onLimit,omitempty"`

	// maxWait is how long a call may wait with onLimit Queue. Defaults to 0s.
	// +optional
	MaxWait Duration `json:"maxWait,omitempty"`
}

// LimitAction says what happens to calls above a limit.
// +kubebuilder:validation:Enum=Reject;Queue
type LimitAction string

const (
	// LimitReject answers the call at once with 429.
	LimitReject LimitAction = "Reject"
	// LimitQueue lets the call wait, up to maxWait.
	LimitQueue LimitAction = "Queue"
)

// Concurrency bounds how many calls run at once.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.max) != has(self.adaptive)",message="concurrency needs exactly one of max and adaptive (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="(has(self.maxQueued) && self.maxQueued > 0) == (has(self.maxWait) && !self.maxWait.matches('^[0hms]+$'))",fieldPath=".maxWait",message="maxQueued above 0 needs a maxWait longer than 0s, and maxWait needs maxQueued"
type Concurrency struct {
	// mode Disabled removes what an earlier policy set.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// max is how many calls may run at once.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Max *int32 `json:"max,omitempty"`

	// adaptive finds the number from latency, within bounds.
	// +optional
	Adaptive *AdaptiveConcurrency `json:"adaptive,omitempty"`

	// maxQueued is how many calls may wait for their turn. Defaults to 0:
	// calls above the limit are rejected at once.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	MaxQueued *int32 `json:"maxQueued,omitempty"`

	// maxWait is how long they may wait. Defaults to 0s.
	// +optional
	MaxWait Duration `json:"maxWait,omitempty"`

	// scope says whose calls count together. Defaults to Pod.
	// +optional
	Scope ConcurrencyScope `json:"scope,omitempty"`
}

// ConcurrencyScope says whose running calls count together.
// +kubebuilder:validation:Enum=Pod;Node
type ConcurrencyScope string

const (
	// ConcurrencyScopePod counts each pod on its own.
	ConcurrencyScopePod ConcurrencyScope = "Pod"
	// ConcurrencyScopeNode counts the governed pods of a node together.
	ConcurrencyScopeNode ConcurrencyScope = "Node"
)

// AdaptiveConcurrency finds a concurrency limit from latency.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",fieldPath=".min",message="adaptive.min must not be above adaptive.max"
type AdaptiveConcurrency struct {
	// min is the lowest the limit may fall. Defaults to 4.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Min *int32 `json:"min,omitempty"`

	// max is the highest the limit may rise. Defaults to 1000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Max *int32 `json:"max,omitempty"`
}
