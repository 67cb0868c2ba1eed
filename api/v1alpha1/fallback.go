package v1alpha1

// Fallback answers calls that could not be served.
//
// +kubebuilder:validation:XValidation:rule="has(self.mode) && self.mode == 'Disabled' ? !(has(self.response) || has(self.destination)) : has(self.response) != has(self.destination)",message="fallback needs exactly one of response and destination (or mode: Disabled and neither)"
type Fallback struct {
	// mode Disabled removes what an earlier policy set.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// when lists the cases in which it applies. Absent means all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	When []FallbackCondition `json:"when,omitempty"`

	// response is a fixed answer.
	// +optional
	Response *FallbackResponse `json:"response,omitempty"`

	// destination is called instead, once.
	// +optional
	Destination *FallbackDestination `json:"destination,omitempty"`
}

// FallbackCondition is a case in which a fallback applies.
// +kubebuilder:validation:Enum=CircuitOpen;RetriesExhausted;RateLimited
type FallbackCondition string

const (
	// FallbackOnCircuitOpen is a call rejected by an open breaker.
	FallbackOnCircuitOpen FallbackCondition = "CircuitOpen"
	// FallbackOnRetriesExhausted is a call whose last allowed attempt failed.
	FallbackOnRetriesExhausted FallbackCondition = "RetriesExhausted"
	// FallbackOnRateLimited is a call rejected by the policy's own limits.
	FallbackOnRateLimited FallbackCondition = "RateLimited"
)

// FallbackResponse is a fixed answer. %REASON% in values and in body stands for
// why the call failed. gRPC calls get headers alone, with their grpc-status or what
// statusCode stands for.
type FallbackResponse struct {
	// statusCode is its HTTP status.
	// +required
	// +kubebuilder:validation:Minimum=200
	// +kubebuilder:validation:Maximum=599
	StatusCode int32 `json:"statusCode"`

	// headers are its header fields, besides Content-Length.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Headers []HeaderField `json:"headers,omitempty"`

	// body is its body. Absent means empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Body string `json:"body,omitempty"`
}

// HeaderField is an HTTP header field.
type HeaderField struct {
	// name is the field's name.
	// +required
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'trailer', 'te', 'proxy-connection'])",message="this header field belongs to the connection and is written by fairlead: remove it"
	Name HeaderName `json:"name"`

	// value is the field's value.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\x00-\\\\x08\\\\x0a-\\\\x1f\\\\x7f]')",message="a header field's value is one line without control characters"
	Value string `json:"value"`
}

// FallbackDestination is called instead, in one attempt. It must not be a
// destination of the same policy.
//
// +kubebuilder:validation:XValidation:rule="has(self.service) != has(self.host)",message="fallback.destination needs exactly one of service and host"
// +kubebuilder:validation:XValidation:rule="!has(self.port) || has(self.host)",message="port belongs to host: for a service write service.port"
type FallbackDestination struct {
	// service is a Service of this cluster, called in the clear. Without a port it
	// is called on the port that was called.
	// +optional
	Service *ServiceDestination `json:"service,omitempty"`

	// host is a name outside or inside the cluster. It is called over TLS where
	// agents speak TLS to the destination of the call.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.contains('*')",message="fallback.destination is one host: write it without a wildcard"
	Host Host `json:"host,omitempty"`

	// port is the host's port. Absent means the port that was called.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
}
