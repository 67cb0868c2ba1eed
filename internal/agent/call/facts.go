package call

import "time"

// Method is what a Call needs to know of a request's method: its class.
type Method uint8

// The method classes (RFC 9110 sections 9.2.1 and 9.2.2).
const (
	Safe Method = iota
	Idempotent
	Unsafe
)

// Request is what a Call needs to know of a request.
type Request struct {
	Method Method
	// Keyed: the request carries the policy's key header (or the agent has added one).
	Keyed bool
	// ShadowKeyed is Keyed for the plan's Shadow.
	ShadowKeyed bool
	// HasBody: a request body follows the head, and is not in memory as a whole. One that is, and stays there until the call
	// ends, can always be sent again, and may be left out here.
	HasBody bool
	// Timeout is the client's own deadline (grpc-timeout); zero means none.
	Timeout time.Duration
	// Retried: it has arrived marked as a retry, which matters where the policy says so (policy.Retry.SkipRetried).
	Retried bool
	// GRPC: the request is a gRPC call.
	GRPC bool
	// Refusable: the peer can say of a request that it has received that it did not process it (HTTP/2), so that the body is worth keeping
	// whatever the method.
	Refusable bool
	// Tunnel: the request asks for a tunnel (CONNECT), so that a status of 2xx says that there is one.
	Tunnel bool
}

// Response is what a Call needs to know of a response head.
type Response struct {
	Status int
	// RetryAfter is the delay that the server asks for, by a header field or a pushback; HasRetryAfter says that there was a valid one.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// OfLimit: it is when the server's limit starts anew, which asks for no retry (resilience.Wish).
	OfLimit bool
	// HeaderMatched: the response carries one of retry.responseHeaders.
	HeaderMatched bool
	// ShadowHeaderMatched is HeaderMatched for the plan's Shadow.
	ShadowHeaderMatched bool
	// GRPCStatus is the grpc-status in the head, or -1. GRPCPending says that it comes in the trailers (ResponseHead once more if the
	// response is held back, else Finished).
	GRPCStatus  int
	GRPCPending bool
	// Tunnel: what follows is no response but a tunnel (101, or 2xx to CONNECT), which gates do not count.
	Tunnel bool
	// RequestUnfinished: the head arrived while the request body was still being sent (rule 20). Not set while the
	// client holds its body back for a 100 (Continue) that never came: there is nothing to send.
	RequestUnfinished bool
}

// Failure is how an attempt failed. Nothing is guessed from error strings.
type Failure struct {
	Kind Kind
	// ResponseStarted: at least one byte of a response arrived.
	ResponseStarted bool
	// PeerUnprocessed: the peer said that it did not process the request (REFUSED_STREAM, above GOAWAY's last id). It does
	// not count once a response has started.
	PeerUnprocessed bool
	// PeerLeaving: it said so because the connection takes no more requests.
	PeerLeaving bool
	// GRPCStatus is what the peer's reset of the stream means for a gRPC call; 0: nothing was said.
	GRPCStatus int
	// injected: a fault of the plan's has made it.
	injected bool
	// Reused: the attempt went out on a connection that had served an earlier exchange.
	Reused bool
}

// timesOut reports whether time is what has ended the attempt: a server that knows how much is left resets the stream when it has none.
func (f *Failure) timesOut() bool {
	return f.Kind == AttemptTimeout || f.Kind == Reset && f.GRPCStatus == grpcCancelled
}

// stale reports whether a kept-alive connection turned out to be closed (rule 8), or to be left by its server.
func (f *Failure) stale() bool {
	return f.Reused && (f.Kind == Reset || f.PeerLeaving) && !f.ResponseStarted
}

// End is how the forwarding of a response ended.
type End struct {
	// Truncated: the response could not be forwarded to its end, or the request could not though the response calls it a success.
	Truncated bool
	// ClientGone: it was the client that ended it.
	ClientGone bool
	// GRPCStatus is the grpc-status in the trailers, or -1.
	GRPCStatus int
}
