package v1alpha1

// Faults puts a policy to the test: for a time, a share of the attempts of calls
// meets a fault that fairlead makes, before anything is sent for them. Timeouts,
// retries, hedges, circuit breakers and fallbacks act on it as on a fault of the
// upstream's. Agents end it by themselves at until. As a block it replaces that of
// an earlier policy whole, so that nothing outlasts the time written beside it.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.until)",message="faults needs until, the time at which it ends by itself, such as until: '2026-11-27T10:00:00Z' (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.percent)",message="faults needs percent, the share of attempts that meet a fault, such as percent: 10 (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.delay) || has(self.abort)",message="faults needs delay or abort, or both (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'Disabled' || !(has(self.until) || has(self.percent) || has(self.delay) || has(self.abort))",message="mode: Disabled stands alone: remove until, percent, delay and abort, or remove mode"
type Faults struct {
	// mode Disabled removes what an earlier policy set. It is all that a
	// ClusterRetryPolicy may say; in its overrides it forbids faults.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// until is when it ends, at most 24 hours after it was written. What is
	// over stays over; write a later time to begin anew.
	// +optional
	Until Timestamp `json:"until,omitempty"`

	// percent is the share of attempts, each drawn by itself, that meet the
	// fault; those of a fallback's destination never do.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`

	// delay holds the attempt up before it connects. The time counts as the
	// attempt's own. Absent means no delay.
	// +optional
	Delay *FaultDelay `json:"delay,omitempty"`

	// abort stands in for the attempt, after the delay if there is one. Nothing
	// reaches the upstream. Absent means that the attempt goes on.
	// +optional
	Abort *FaultAbort `json:"abort,omitempty"`
}

// FaultDelay is how long an attempt is held up.
type FaultDelay struct {
	// duration is how long, from 1ms to 5m.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('1ms') && duration(self) <= duration('5m'))",message="delay.duration must be from 1ms to 5m"
	Duration Duration `json:"duration"`

	// jitterPercent spreads it evenly by that much to either side. Defaults to 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	JitterPercent *int32 `json:"jitterPercent,omitempty"`
}

// FaultAbort is how an attempt ends.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Response' || !(has(self.statusCode) || has(self.grpcStatus))",message="statusCode and grpcStatus belong to type: Response: remove them, or write type: Response"
type FaultAbort struct {
	// type says whether it is answered or reset.
	// +required
	Type FaultAbortType `json:"type"`

	// statusCode is the status of the answer. Defaults to 503.
	// +optional
	// +kubebuilder:validation:Minimum=400
	// +kubebuilder:validation:Maximum=599
	StatusCode *int32 `json:"statusCode,omitempty"`

	// grpcStatus is the status that gRPC calls are answered. Defaults to what
	// statusCode stands for.
	// +optional
	GRPCStatus GRPCStatus `json:"grpcStatus,omitempty"`
}

// FaultAbortType says how an attempt ends.
// +kubebuilder:validation:Enum=Response;Reset
type FaultAbortType string

const (
	// FaultResponse answers with a status, as if the upstream had: the method
	// must allow a retry.
	FaultResponse FaultAbortType = "Response"
	// FaultReset resets the connection before a byte of the request was sent.
	// It is all that connections without requests can meet.
	FaultReset FaultAbortType = "Reset"
)
