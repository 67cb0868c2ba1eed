package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TrafficStatus is what the governed calls did within the window, summed over
// all nodes. It is written at most every 10s.
type TrafficStatus struct {
	// window is the time that the figures are about. It is 1m.
	// +optional
	Window Duration `json:"window,omitempty"`

	// asOf is the end of that time. It grows old while the manager or the
	// reports are away.
	// +optional
	AsOf *metav1.Time `json:"asOf,omitempty"`

	// requests is how many calls ended.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests int64 `json:"requests,omitempty"`

	// successPercent is the share of them that succeeded, rounded down: 100
	// means all. Absent without calls.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SuccessPercent *int32 `json:"successPercent,omitempty"`

	// retries is how many retries started.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Retries int64 `json:"retries,omitempty"`

	// retrySuccesses is how many calls succeeded thanks to a retry.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RetrySuccesses int64 `json:"retrySuccesses,omitempty"`

	// notRetried counts calls that failed without a further retry, by why.
	// +optional
	NotRetried *NotRetried `json:"notRetried,omitempty"`

	// timeouts is how many calls ended in a timeout. Tries that timed out and
	// were made good by a retry do not count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Timeouts int64 `json:"timeouts,omitempty"`

	// rateLimited is how many calls the policy's own limits rejected.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RateLimited int64 `json:"rateLimited,omitempty"`

	// breakerRejected is how many calls an open breaker rejected.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BreakerRejected int64 `json:"breakerRejected,omitempty"`

	// breakersOpen is how many breakers are open or half open at asOf.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BreakersOpen int64 `json:"breakersOpen,omitempty"`

	// p50 is the time to response headers that half of the calls did not
	// exceed, retries included, rounded up to milliseconds.
	// +optional
	P50 Duration `json:"p50,omitempty"`

	// p99 is the time to response headers that 99 % of the calls did not
	// exceed, retries included, rounded up to milliseconds.
	// +optional
	P99 Duration `json:"p99,omitempty"`

	// rps is calls per second, such as 12.5, for kubectl get: of the nodes that
	// report, over as much of the window as their reports cover.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	RPS string `json:"rps,omitempty"`

	// success is the share of calls that succeeded, such as 99.93%, for
	// kubectl get; it reads 100% only if all did.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Success string `json:"success,omitempty"`

	// breaker is Closed, or Open with how many are, such as Open(1), for
	// kubectl get. Absent without a circuitBreaker.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=24
	Breaker string `json:"breaker,omitempty"`
}

// NotRetried counts calls that failed without a further retry, by the first
// thing that forbade it.
type NotRetried struct {
	// method counts requests that may not be sent twice (idempotency).
	// +optional
	// +kubebuilder:validation:Minimum=0
	Method int64 `json:"method,omitempty"`

	// body counts requests whose body was no longer at hand.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Body int64 `json:"body,omitempty"`

	// budget counts calls for which the retry budget had no room.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Budget int64 `json:"budget,omitempty"`

	// deadline counts calls whose overall timeout left no time.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Deadline int64 `json:"deadline,omitempty"`

	// notRetryable counts failures whose cause was not asked to be retried.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NotRetryable int64 `json:"notRetryable,omitempty"`

	// exhausted counts calls that failed after the last allowed retry.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Exhausted int64 `json:"exhausted,omitempty"`
}
