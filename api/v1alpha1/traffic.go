package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TrafficStatus is what the governed calls did within the window, on all nodes.
type TrafficStatus struct {
	// window is the time that the figures are about. It is 1m.
	// +optional
	Window Duration `json:"window,omitempty"`

	// asOf is when these figures were taken. It stays while they do not change.
	// +optional
	AsOf *metav1.Time `json:"asOf,omitempty"`

	// requests is how many calls ended, abandoned ones too.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests int64 `json:"requests"`

	// successPercent is the share of them that succeeded, rounded down: 100
	// means all. Absent without calls. A call succeeds if it is answered to the
	// end, and not with 5xx, 429, a failed gRPC status or what retry names; what
	// is rejected, abandoned or truncated does not.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SuccessPercent *int32 `json:"successPercent,omitempty"`

	// abandoned is how many requests their callers gave up before the answer. They
	// are in neither p50 nor p99.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Abandoned int64 `json:"abandoned,omitempty"`

	// truncated is how many calls did not succeed only because the answer, or the
	// request, broke off while the caller was there.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Truncated int64 `json:"truncated,omitempty"`

	// retries is how many retries started.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Retries int64 `json:"retries"`

	// retrySuccesses is how many calls succeeded thanks to a retry, a hedge or a
	// fallback.destination.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RetrySuccesses int64 `json:"retrySuccesses,omitempty"`

	// hedges is how many attempts were started beside others.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Hedges int64 `json:"hedges,omitempty"`

	// hedgesWon is how many of them answered their call; the others were wasted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	HedgesWon int64 `json:"hedgesWon,omitempty"`

	// fallbacks is how many calls were answered by their fallback.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Fallbacks int64 `json:"fallbacks,omitempty"`

	// notRetried counts calls that failed without a further retry, by why.
	// +optional
	NotRetried *NotRetried `json:"notRetried,omitempty"`

	// timeouts is how many calls ended in a timeout. Attempts that timed out and
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

	// poolOverflow is how many calls exceeded the connectionPool's maxPending or
	// pendingTimeout.
	// +optional
	// +kubebuilder:validation:Minimum=0
	PoolOverflow int64 `json:"poolOverflow,omitempty"`

	// breakersOpen is how many breakers reject calls at asOf.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BreakersOpen int64 `json:"breakersOpen,omitempty"`

	// breakersHalfOpen is how many breakers let only probes pass at asOf.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BreakersHalfOpen int64 `json:"breakersHalfOpen,omitempty"`

	// opaque is about connections that are passed through without being
	// understood, such as TLS and TCP. In the other figures each is one call, which
	// has its answer when its server is connected to.
	// +optional
	Opaque *OpaqueTraffic `json:"opaque,omitempty"`

	// dryRun is what would have been done, if the mode is DryRun.
	// +optional
	DryRun *DryRunTraffic `json:"dryRun,omitempty"`

	// olderConnections is how many connections are not governed because they
	// were opened before their pods were captured, as by a policy that is newer.
	// +optional
	// +kubebuilder:validation:Minimum=0
	OlderConnections int64 `json:"olderConnections,omitempty"`

	// p50 is the time to response headers that half of the answered calls did not
	// exceed, retries included: two digits, such as 3.4ms, 120ms or 5.5s, at most
	// 12 % off before rounding, or >50s. Absent without answered calls.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	P50 string `json:"p50,omitempty"`

	// p99 is as p50, for 99 % of the answered calls.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	P99 string `json:"p99,omitempty"`

	// rps is requests per second, such as 12.5, for kubectl get: of the nodes that
	// report, over as much of the window as they cover. 0 only without calls.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	RPS string `json:"rps,omitempty"`

	// success is successPercent, such as 99.93%, for kubectl get; 100% only if all
	// succeeded.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Success string `json:"success,omitempty"`

	// breaker is the worst state of the circuit breakers, for kubectl get: Closed,
	// or HalfOpen or Open with how many are, such as Open(1), or Ejected with how
	// many endpoints are out, such as Ejected(2); - without any.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=24
	Breaker string `json:"breaker,omitempty"`
}

// DryRunTraffic counts the calls that a dry run looked at, and those with which
// something else would have been done, by the first of it.
type DryRunTraffic struct {
	// calls is how many were looked at.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Calls int64 `json:"calls"`

	// retried is how many would have got another attempt. Whether that would have
	// helped cannot be known.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Retried int64 `json:"retried,omitempty"`

	// hedged is how many would have got a hedge.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Hedged int64 `json:"hedged,omitempty"`

	// timedOut is how many took longer than a timeout.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TimedOut int64 `json:"timedOut,omitempty"`

	// circuitOpen is how many an open breaker would have rejected.
	// +optional
	// +kubebuilder:validation:Minimum=0
	CircuitOpen int64 `json:"circuitOpen,omitempty"`

	// limited is how many a limit would have rejected.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Limited int64 `json:"limited,omitempty"`

	// queued is how many would have had to wait for a limit.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Queued int64 `json:"queued,omitempty"`

	// fallback is how many the fallback would have answered.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Fallback int64 `json:"fallback,omitempty"`

	// notRetried is how many were retried and would not have been.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NotRetried int64 `json:"notRetried,omitempty"`

	// letIn is how many were rejected or had to wait and would not have.
	// +optional
	// +kubebuilder:validation:Minimum=0
	LetIn int64 `json:"letIn,omitempty"`

	// other is how many would have been treated differently in another way.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Other int64 `json:"other,omitempty"`

	// breakersOpened is how often breakers would have opened.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BreakersOpened int64 `json:"breakersOpened,omitempty"`

	// breakersOpen is how many would be open at asOf.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BreakersOpen int64 `json:"breakersOpen,omitempty"`
}

// OpaqueTraffic is about connections that are passed through without being
// understood.
type OpaqueTraffic struct {
	// opened is how many were opened within the window.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Opened int64 `json:"opened"`

	// open is how many are open at asOf.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Open int64 `json:"open"`

	// sentBytes is how many bytes they have sent to their servers.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SentBytes int64 `json:"sentBytes,omitempty"`

	// receivedBytes is how many bytes they have received from them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReceivedBytes int64 `json:"receivedBytes,omitempty"`

	// summary is such as "3 open, 12 opened", for kubectl get -o wide.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=48
	Summary string `json:"summary,omitempty"`
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
