package call

// Kind is how a try or a call ended. It is a closed enum: also the metric label and the reason in the access log.
type Kind uint8

// The outcome kinds.
const (
	// OK: a complete response head arrived from the upstream, whatever its status.
	OK Kind = iota
	// ClientGone: the client closed or reset before the call ended. Never an upstream failure.
	ClientGone
	// ConnectFailed: the connection could not be made (refused, unreachable, reset during the handshake).
	ConnectFailed
	// ConnectTimeout: timeouts.connect passed.
	ConnectTimeout
	// AttemptTimeout: timeouts.perTry or timeouts.responseHeader passed.
	AttemptTimeout
	// Deadline: timeouts.overall passed.
	Deadline
	// Reset: the connection broke after it was made and before the response head was complete.
	Reset
	// RefusedStream: the peer said that it did not process the request (HTTP/2).
	RefusedStream
	// BadResponse: the upstream's response broke the protocol.
	BadResponse
	// Overflow: the pool's queue was full or the wait in it too long.
	Overflow
	// BreakerOpen: the circuit breaker refused the call.
	BreakerOpen
	// RateLimited: a rate limit refused the call.
	RateLimited
	// Internal: the agent itself failed.
	Internal
)

// Fate says why a call was retried or not: the answer to "why was this request (not) retried?" (semantics rule 9).
type Fate uint8

// The fates, in the order in which the gates are asked.
const (
	// NotNeeded: the first try was good enough.
	NotNeeded Fate = iota
	// Recovered: a retry succeeded.
	Recovered
	// ByMethod: the idempotency gate said no.
	ByMethod
	// NotRetryable: the failure is not among retry.on, statusCodes or responseHeaders, or retries are switched off.
	NotRetryable
	// ByBudget: the retry budget was used up.
	ByBudget
	// ByDeadline: the wait or the next try would not fit the overall deadline, or Retry-After was larger than allowed.
	ByDeadline
	// ByBody: the request body could not be replayed.
	ByBody
	// Exhausted: maxRetries were used.
	Exhausted
	// Refused: the agent's own rejection (limit, open breaker, pool overflow); never retried.
	Refused
	// Abandoned: the client went away.
	Abandoned
)

// Failure is how a try failed, with the facts that safety rests on. Nothing is guessed from error strings.
type Failure struct {
	Kind Kind
	// BytesWritten: the kernel accepted at least one byte of this try's request on its connection.
	BytesWritten bool
	// ResponseStarted: at least one byte of a response arrived.
	ResponseStarted bool
	// PeerUnprocessed: the peer said that it did not process the request (REFUSED_STREAM, above GOAWAY's last id).
	PeerUnprocessed bool
	// Reused: the try went out on a connection that had served an earlier exchange.
	Reused bool
}
