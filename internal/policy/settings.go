package policy

import "time"

// Settings are the complete, defaulted values in force for a call. A zero duration means "no limit" unless a field says otherwise.
type Settings struct {
	Timeouts      Timeouts
	Retry         Retry
	Pool          Pool
	Breaker       *Breaker     // nil: off
	RateLimit     *RateLimit   // nil: off
	Concurrency   *Concurrency // nil: off
	Fallback      *Fallback    `json:",omitempty"` // nil: none
	Faults        *Faults      `json:",omitempty"` // nil: none
	LoadBalancing LoadBalancing
	AccessLog     AccessLog
	// AttemptHeader adds fairlead-attempt to requests.
	AttemptHeader bool `json:",omitempty"`
	// Tracing says which calls are traced; nil: none.
	Tracing *Tracing `json:",omitempty"`
}

// Timeouts bound the stages of a call.
type Timeouts struct {
	Connect        time.Duration // TCP connect of one attempt
	TLSHandshake   time.Duration // TLS handshake of one attempt, once it is connected
	PerTry         time.Duration // dispatch (queue excluded) to response headers
	ResponseHeader time.Duration // last request byte to response headers
	Idle           time.Duration // no byte in either direction on an open exchange or tunnel
	Read           time.Duration // longest gap between response bytes; compile fills in Idle
	Write          time.Duration // longest stall while sending the request; compile fills in Idle
	Overall        time.Duration // whole call until response headers
	MaxDuration    time.Duration // whole exchange including its body
	// Adaptive stands in for PerTry; the zero Adaptive is off.
	Adaptive Adaptive `json:",omitzero"`
}

// AttemptLimit is how long an attempt may take at most; 0: there is no limit.
func (t *Timeouts) AttemptLimit() time.Duration {
	if t.Adaptive.On() {
		return t.Adaptive.Max
	}
	return t.PerTry
}

// Adaptive sets a timeout of attempts by how long the latest Window successful ones took: their mean and Deviations thousandths of their
// standard deviation more, from Min to Max.
type Adaptive struct {
	Min, Max   time.Duration
	Deviations int
	Window     int
}

// On reports whether there is one.
func (a *Adaptive) On() bool { return a.Window > 0 }

// Condition is a class of failure, as users name it in retry.when and circuitBreaker.failures.
type Condition uint8

// The failure classes. A response can belong to several.
const (
	ConnectFailure Condition = iota
	RefusedStream
	ResetBeforeRequest
	Reset
	PerTryTimeout
	DNSFailure
	GatewayError
	ServerError
	RateLimited
	Conflict
	RetryAfterPresent
	conditionCount
)

// Conditions is a set of Condition.
type Conditions uint16

// Of returns the set of cs.
func Of(cs ...Condition) Conditions {
	var s Conditions
	for _, c := range cs {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in s.
func (s Conditions) Has(c Condition) bool { return s&(1<<c) != 0 }

// Intersects reports whether the sets share a member.
func (s Conditions) Intersects(o Conditions) bool { return s&o != 0 }

// GRPCStatus is a gRPC status by its number.
type GRPCStatus uint8

// StatusRange is an inclusive range of HTTP status codes.
type StatusRange struct{ From, To uint16 }

// HeaderMatch matches a response header. An empty Value matches any value.
type HeaderMatch struct{ Name, Value string }

// Idempotency says which methods may be repeated after their request may have been processed.
type Idempotency uint8

// The idempotency gates, strictest first.
const (
	// SafeMethods: those registered as safe (RFC 9110 section 9.2.1).
	SafeMethods Idempotency = iota
	// IdempotentMethods: safe methods, and those registered as idempotent (RFC 9110 section 9.2.2).
	IdempotentMethods
	// IdempotentOrKeyed: idempotent methods, and any method that carries the key header.
	IdempotentOrKeyed
	// AnyMethod: the user says every call may be repeated.
	AnyMethod
)

// Retry says when and how a call is tried again.
type Retry struct {
	MaxRetries      int
	On              Conditions `json:"When"` // as the API says it, where people read this
	StatusCodes     []StatusRange
	ResponseHeaders []HeaderMatch
	GRPCStatuses    []GRPCStatus
	Overrides       []RetryOverride
	Backoff         Backoff
	RetryAfter      RetryAfter
	Idempotency     Idempotency
	KeyHeader       string // canonical for lookup; compared without case
	GenerateKey     bool
	Budget          Budget
	BodyMaxBytes    int64
	// AvoidPreviousEndpoints sends a retry to an endpoint not yet tried by this call when there is one.
	AvoidPreviousEndpoints bool
	Hedging                Hedging `json:",omitzero"` // the zero Hedging is off
	// SkipRetried neither retries nor hedges calls that arrive marked as a retry.
	SkipRetried bool `json:",omitempty"`
}

// Hedging starts another attempt beside those that have not been answered.
type Hedging struct {
	// Max is how many may be started beside the first; 0: none.
	Max int
	// Delay is how long one is waited for before; 0: as long as Percentile of the latest attempts took, and 1 ms at least.
	Delay      time.Duration
	Percentile int
}

// RetryOverride changes limits for the failures that it lists, which are retried as if Retry listed them. The first override
// that matches a failure applies. MaxRetries bounds the call's retries for whatever cause; 0 never retries.
type RetryOverride struct {
	On           Conditions `json:"When"`
	StatusCodes  []StatusRange
	GRPCStatuses []GRPCStatus
	MaxRetries   int
	Backoff      Backoff
}

// Strategy is how the backoff grows.
type Strategy uint8

// The backoff strategies.
const (
	Exponential Strategy = iota
	Linear
	Fixed
)

// Jitter is how a backoff is randomised; see resilience for the formulas.
type Jitter uint8

// The jitters.
const (
	JitterFull Jitter = iota
	JitterNone
	JitterEqual
	JitterAdditive
	JitterProportional
	JitterDecorrelated
)

// Backoff says how long to wait between attempts.
type Backoff struct {
	Strategy      Strategy
	Initial       time.Duration
	Max           time.Duration // bound before jitter
	Multiplier    float64
	Jitter        Jitter
	JitterPercent int
}

// RetryAfter reports whether the upstream's wish for a delay counts.
type RetryAfter struct {
	Honor bool
	Max   time.Duration
}

// Budget bounds retries to a share of calls. Percent 0 with MinPerSecond 0 forbids retries.
type Budget struct {
	Percent      int
	MinPerSecond int
	Window       time.Duration
}

// Pool bounds connections per pod and destination.
type Pool struct {
	MaxConnections            int // 0: unlimited
	MaxConnectionsPerEndpoint int // 0: unlimited
	MaxIdlePerEndpoint        int
	IdleTimeout               time.Duration
	MaxLifetime               time.Duration
	MaxRequestsPerConnection  int // 0: unlimited
	MaxPending                int
	PendingTimeout            time.Duration
	KeepAlive                 KeepAlive
	// of HTTP/2
	MaxStreams   int           // exchanges that share a connection; 0: upstream.DefaultStreams
	PingInterval time.Duration // silence after which a connection is checked; 0: never
	PingTimeout  time.Duration // how long the answer may take
}

// KeepAlive is the TCP keep-alive of upstream connections.
type KeepAlive struct {
	Idle     time.Duration
	Interval time.Duration
	Probes   int
}

// Breaker is a circuit breaker. At least one trigger is set.
type Breaker struct {
	ConsecutiveFailures int        // 0: off
	ErrorRate           *ErrorRate // nil: off
	SlowCalls           *SlowCalls // nil: off
	FailureOn           Conditions `json:"FailureWhen"`
	FailureStatus       []StatusRange
	FailureGRPC         []GRPCStatus
	OpenDuration        time.Duration
	OpenMaxDuration     time.Duration
	OpenJitterPercent   int
	Probes              int
	SuccessesToClose    int
	Scope               BreakerScope
	MaxEjectedPercent   int
	Sharing             Sharing
}

// RateLimit bounds how many calls start per time: in any time t at most Burst + Requests × t / Per.
type RateLimit struct {
	Requests int
	Per      time.Duration
	Burst    int
	Scope    Sharing
	MaxWait  time.Duration // 0: calls above the limit are rejected at once
	// Shared names the limit in the cluster if that is its Scope: bindings share the limit that has the same name and destination.
	Shared string `json:",omitempty"`
}

// Concurrency bounds how many calls run at once.
type Concurrency struct {
	Max       int                  // unless Adaptive
	Adaptive  *AdaptiveConcurrency // nil: off
	MaxQueued int                  // 0: calls above the limit are rejected at once
	MaxWait   time.Duration
	Scope     Sharing
}

// AdaptiveConcurrency has the limit found from latency, within bounds.
type AdaptiveConcurrency struct{ Min, Max int }

// ErrorRate trips when Percent of at least MinimumRequests in Window failed.
type ErrorRate struct {
	Percent         int
	MinimumRequests int
	Window          time.Duration
}

// SlowCalls trips when Percent of at least MinimumRequests in Window took longer than Threshold.
type SlowCalls struct {
	Threshold       time.Duration
	Percent         int
	MinimumRequests int
	Window          time.Duration
}

// BreakerScope is what a breaker protects.
type BreakerScope uint8

// The breaker scopes.
const (
	ScopeDestination BreakerScope = iota
	ScopeEndpoint
)

// Sharing says whose calls feed and obey a breaker, or count together for a limit.
type Sharing uint8

// The ways to share.
const (
	ShareNode Sharing = iota
	SharePod
	ShareCluster
)

// LoadBalancing chooses among a Service's endpoints.
type LoadBalancing uint8

// The load balancing policies.
const (
	LeastRequest LoadBalancing = iota
	RoundRobin
	RandomEndpoint
	// ClusterIP dials the address the pod dialled and leaves the choice to the cluster.
	ClusterIP
)

// Tracing says which calls are traced: those that arrive in a trace that is recorded, and of those that arrive in none SamplePercent.
type Tracing struct{ SamplePercent int }

// AccessLog says which calls are logged.
type AccessLog uint8

// The access log settings.
const (
	AccessLogErrors AccessLog = iota
	AccessLogOff
	AccessLogAll
)
