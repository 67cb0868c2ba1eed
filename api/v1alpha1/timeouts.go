package v1alpha1

// Timeouts bound the parts of a call. 0s means no bound, and so also removes
// one that an earlier policy set.
//
// +kubebuilder:validation:XValidation:rule="!has(self.perTry) || !has(self.overall) || self.overall.matches('^[0hms]+$') || [self.perTry, self.overall].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.perTry) <= duration(self.overall)",fieldPath=".perTry",message="perTry must not be longer than overall: shorten perTry or lengthen overall"
// +kubebuilder:validation:XValidation:rule="!has(self.adaptive) || !has(self.adaptive.max) || !has(self.overall) || self.overall.matches('^[0hms]+$') || [self.adaptive.max, self.overall].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.adaptive.max) <= duration(self.overall)",fieldPath=".adaptive",message="adaptive.max must not be longer than overall: shorten adaptive.max or lengthen overall"
// +kubebuilder:validation:XValidation:rule="!has(self.overall) || !has(self.maxDuration) || self.maxDuration.matches('^[0hms]+$') || [self.overall, self.maxDuration].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.overall) <= duration(self.maxDuration)",fieldPath=".maxDuration",message="maxDuration covers the whole exchange and must not be shorter than overall: lengthen maxDuration or shorten overall"
type Timeouts struct {
	// connect bounds opening a connection. Defaults to 5s.
	// +optional
	Connect Duration `json:"connect,omitempty"`

	// tlsHandshake bounds the TLS handshake where the agent speaks TLS.
	// Defaults to 5s.
	// +optional
	TLSHandshake Duration `json:"tlsHandshake,omitempty"`

	// perTry bounds one try: connecting, and the wait from the last byte of the
	// request to the response headers. It never cuts a body, up or down, and
	// waiting for the pool does not count. Absent means none.
	// +optional
	PerTry Duration `json:"perTry,omitempty"`

	// responseHeader bounds the wait from the last byte of the request to the
	// response headers. Absent means no bound of its own.
	// +optional
	ResponseHeader Duration `json:"responseHeader,omitempty"`

	// idle bounds how long no byte may flow in either direction on an open
	// exchange or tunnel, in every phase. In a tunnel each byte begins it anew,
	// whichever side it is from. Absent means no bound: peers that are gone are
	// found by TCP keep-alive.
	// +optional
	Idle Duration `json:"idle,omitempty"`

	// read bounds the gap between bytes of a response; tunnels have none.
	// Absent means idle alone counts.
	// +optional
	Read Duration `json:"read,omitempty"`

	// write bounds how long sending the request may stall; what goes through a
	// tunnel is none. Absent means idle alone counts.
	// +optional
	Write Duration `json:"write,omitempty"`

	// overall bounds the call from its request head to the final response's
	// headers, including queues, every attempt and every backoff. Absent means no
	// bound.
	// +optional
	Overall Duration `json:"overall,omitempty"`

	// maxDuration bounds the whole exchange including its body. Absent means
	// no bound.
	// +optional
	MaxDuration Duration `json:"maxDuration,omitempty"`

	// adaptive sets perTry from recent latency. Absent means perTry stays.
	// +optional
	Adaptive *AdaptiveTimeout `json:"adaptive,omitempty"`
}

// AdaptiveTimeout sets perTry to mean + deviations × standard deviation of the
// latest successful attempts of a destination, within min and max. With fewer than
// 20 such attempts, or after 20 in a row that it ended, it is max.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || (has(self.min) && has(self.max))",message="adaptive needs min and max, such as min: 500ms and max: 5s (or mode: Disabled)"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !self.min.matches('^[0hms]+$')",fieldPath=".min",message="adaptive.min must be longer than 0s"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || [self.min, self.max].exists(d, !d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.min) <= duration(self.max)",fieldPath=".min",message="adaptive.min must not be longer than adaptive.max"
// +kubebuilder:validation:XValidation:rule="!has(self.deviations) || !self.deviations.matches('^[0-9]{1,3}([.][0-9]{1,3})?$') || double(self.deviations) <= 10.0",fieldPath=".deviations",message="deviations must be at most 10"
type AdaptiveTimeout struct {
	// mode Disabled removes what an earlier policy set.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// min is the shortest perTry may become.
	// +optional
	Min Duration `json:"min,omitempty"`

	// max is the longest perTry may become.
	// +optional
	Max Duration `json:"max,omitempty"`

	// deviations is the number of standard deviations above the mean, from 0
	// to 10, in quotes. Defaults to "2".
	// +optional
	Deviations Factor `json:"deviations,omitempty"`

	// window is how many of the latest successful attempts count. Defaults to 200.
	// +optional
	// +kubebuilder:validation:Minimum=20
	// +kubebuilder:validation:Maximum=1000
	Window *int32 `json:"window,omitempty"`
}
