package v1alpha1

// Observability says what is logged, traced and reported about governed calls.
type Observability struct {
	// accessLog says which calls are logged. Defaults to Errors.
	// +optional
	AccessLog AccessLog `json:"accessLog,omitempty"`

	// tracing says which calls are traced.
	// Not enforced by this version: accepted and listed by PartiallyEnforced.
	// +optional
	Tracing *Tracing `json:"tracing,omitempty"`

	// requestHeaders adds header fields to requests. Absent adds none.
	// +optional
	RequestHeaders *RequestHeaders `json:"requestHeaders,omitempty"`
}

// AccessLog says which calls are logged.
// +kubebuilder:validation:Enum=None;Errors;All
type AccessLog string

const (
	// AccessLogNone logs no call.
	AccessLogNone AccessLog = "None"
	// AccessLogErrors logs calls that failed in the end.
	AccessLogErrors AccessLog = "Errors"
	// AccessLogAll logs every call.
	AccessLogAll AccessLog = "All"
)

// Tracing says which calls are traced.
type Tracing struct {
	// samplePercent is the share of calls, among those whose caller has not
	// decided, that are traced. Defaults to 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SamplePercent *int32 `json:"samplePercent,omitempty"`
}

// RequestHeaders adds header fields to requests.
type RequestHeaders struct {
	// attempt adds fairlead-attempt with the number of the attempt, from 1, and
	// the reason of a retry, such as 2;reason=reset. Defaults to false.
	// +optional
	Attempt *bool `json:"attempt,omitempty"`
}
