package v1alpha1

// CircuitBreaker stops calls to a destination that keeps failing. Closed lets
// calls pass; a trigger opens it, and calls are rejected (503, circuit_open);
// after a while it is half open, and lets probes pass to find out.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.consecutiveFailures) || has(self.errorRate) || has(self.slowCalls)",message="circuitBreaker needs a trigger: set consecutiveFailures, errorRate or slowCalls (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="!has(self.maxEjectedPercent) || (has(self.scope) && self.scope == 'Endpoint')",fieldPath=".maxEjectedPercent",message="maxEjectedPercent needs scope: Endpoint"
type CircuitBreaker struct {
	// mode Disabled removes what an earlier policy set.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// consecutiveFailures opens after so many failures in a row. Absent means
	// this is no trigger.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ConsecutiveFailures *int32 `json:"consecutiveFailures,omitempty"`

	// errorRate opens when too large a share of calls fails. Absent means
	// this is no trigger.
	// +optional
	ErrorRate *ErrorRateTrigger `json:"errorRate,omitempty"`

	// slowCalls opens when too large a share of calls is slow. Absent means
	// this is no trigger.
	// +optional
	SlowCalls *SlowCallsTrigger `json:"slowCalls,omitempty"`

	// failures says what counts as a failure.
	// +optional
	Failures *BreakerFailures `json:"failures,omitempty"`

	// open says how long calls are rejected.
	// +optional
	Open *BreakerOpen `json:"open,omitempty"`

	// halfOpen says how recovery is found out.
	// +optional
	HalfOpen *BreakerHalfOpen `json:"halfOpen,omitempty"`

	// scope says what is opened. Defaults to Destination.
	// Endpoint is not enforced by this version: accepted and listed by
	// PartiallyEnforced.
	// +optional
	Scope BreakerScope `json:"scope,omitempty"`

	// maxEjectedPercent is the largest share of endpoints that may be open at
	// once with scope Endpoint; one endpoint always stays. Defaults to 50.
	// Not enforced by this version: accepted and listed by PartiallyEnforced.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxEjectedPercent *int32 `json:"maxEjectedPercent,omitempty"`

	// sharing says whose calls feed and obey one breaker. Defaults to Node. With
	// Cluster a breaker opens on all nodes when enough of them see the
	// destination down, and few calls of the whole cluster probe it.
	// +optional
	Sharing SharingScope `json:"sharing,omitempty"`
}

// ErrorRateTrigger opens when too large a share of calls fails.
type ErrorRateTrigger struct {
	// percent is the share of failed calls that opens. Defaults to 50.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`

	// minimumRequests is how many calls the window must hold to be judged.
	// Defaults to 20.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MinimumRequests *int32 `json:"minimumRequests,omitempty"`

	// window is the sliding time over which calls are counted, from 1s to
	// 10m. Defaults to 10s.
	// +optional
	Window Window `json:"window,omitempty"`
}

// SlowCallsTrigger opens when too large a share of calls is slow.
type SlowCallsTrigger struct {
	// threshold is the time to response headers above which a call is slow.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[0hms]+$')",message="slowCalls.threshold must be longer than 0s"
	Threshold Duration `json:"threshold"`

	// percent is the share of slow calls that opens. Defaults to 80.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`

	// minimumRequests is how many calls the window must hold to be judged.
	// Defaults to 20.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MinimumRequests *int32 `json:"minimumRequests,omitempty"`

	// window is the sliding time over which calls are counted, from 1s to
	// 10m. Defaults to 10s.
	// +optional
	Window Window `json:"window,omitempty"`
}

// BreakerFailures says what counts as a failure. What the agent itself rejects,
// and calls whose client left, never count.
type BreakerFailures struct {
	// when lists the causes that count: ConnectFailure, RefusedStream,
	// ResetBeforeRequest, Reset, PerTryTimeout, DNSFailure, GatewayError (502,
	// 503, 504), ServerError (5xx but 501), RateLimited (429), Conflict (409),
	// RetryAfter. Defaults to ConnectFailure, Reset, PerTryTimeout and
	// ServerError; an empty list counts no cause.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	When []RetryCondition `json:"when,omitzero"`

	// statusCodes lists response statuses that count too. Absent or empty
	// means none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	StatusCodes []StatusCode `json:"statusCodes,omitzero"`

	// grpcStatuses lists the gRPC statuses that count, in headers or in
	// trailers. Defaults to UNAVAILABLE and INTERNAL; an empty list counts
	// none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	GRPCStatuses []GRPCStatus `json:"grpcStatuses,omitzero"`
}

// BreakerOpen says how long calls are rejected.
//
// +kubebuilder:validation:XValidation:rule="!has(self.duration) || !self.duration.matches('^[0hms]+$')",fieldPath=".duration",message="open.duration must be longer than 0s"
// +kubebuilder:validation:XValidation:rule="!has(self.duration) || !has(self.maxDuration) || [self.duration, self.maxDuration].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.duration) <= duration(self.maxDuration)",fieldPath=".maxDuration",message="open.maxDuration must not be shorter than open.duration"
type BreakerOpen struct {
	// duration is how long the breaker stays open the first time; each time a
	// probe fails it doubles. Defaults to 10s.
	// +optional
	Duration Duration `json:"duration,omitempty"`

	// maxDuration caps that growth. Defaults to 5m, or duration if that is
	// longer.
	// +optional
	MaxDuration Duration `json:"maxDuration,omitempty"`

	// jitterPercent spreads the time by up to this share in either direction,
	// so that breakers do not probe in step. Defaults to 20.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	JitterPercent *int32 `json:"jitterPercent,omitempty"`
}

// BreakerHalfOpen says how recovery is found out.
type BreakerHalfOpen struct {
	// probes is how many calls may pass at once. Defaults to 1. One that takes
	// longer than open.duration and perTry keeps no other out.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Probes *int32 `json:"probes,omitempty"`

	// successesToClose is how many of them must succeed in a row to close.
	// One failure opens again. Defaults to 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	SuccessesToClose *int32 `json:"successesToClose,omitempty"`
}

// BreakerScope says what a breaker opens.
// +kubebuilder:validation:Enum=Destination;Endpoint
type BreakerScope string

const (
	// BreakerScopeDestination opens the destination as a whole.
	BreakerScopeDestination BreakerScope = "Destination"
	// BreakerScopeEndpoint opens single endpoints; calls go to the others.
	BreakerScopeEndpoint BreakerScope = "Endpoint"
)

// SharingScope says whose calls count together.
// +kubebuilder:validation:Enum=Pod;Node;Cluster
type SharingScope string

const (
	// SharingPod counts each pod on its own.
	SharingPod SharingScope = "Pod"
	// SharingNode counts the governed pods of a node together.
	SharingNode SharingScope = "Node"
	// SharingCluster counts all governed pods together.
	SharingCluster SharingScope = "Cluster"
)
