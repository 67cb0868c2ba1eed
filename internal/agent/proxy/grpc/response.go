package grpc

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
)

// Response gathers what a response says for a gRPC call. It is fed the fields of the final head and of the trailers, and learns where they
// end. The zero Response is that of a call which is not gRPC.
type Response struct {
	at   stage
	http int  // the status of the head
	grpc bool // the content type is that of gRPC
	// status is what was said of it last; only if known
	status int
	known  bool
	// pushbacks counts the fields that say when to retry; pushback is what the last one says.
	pushbacks int
	pushback  time.Duration
}

// stage is how far a response has come.
type stage uint8

const (
	nothing stage = iota // of a gRPC call is known
	inHead
	pending // the status comes in the trailers
	ended
)

// Begin tells that a final head with a status of HTTP begins.
func (r *Response) Begin(status int) { *r = Response{at: inHead, http: status} }

// Field takes a field of the head or of the trailers, with its name in lower case. Those that say nothing here cost a look at the
// length of their name.
func (r *Response) Field(name, value []byte) {
	switch len(name) {
	case len("grpc-status"):
		if string(name) == "grpc-status" && r.open() {
			r.status, r.known = ParseStatus(value), true
		}
	case len("content-type"):
		if string(name) == "content-type" && r.at == inHead {
			r.grpc = Is(value)
		}
	case len("grpc-retry-pushback-ms"):
		if string(name) == "grpc-retry-pushback-ms" && r.open() {
			r.pushbacks++
			r.pushback = parsePushback(value)
		}
	}
}

func (r *Response) open() bool { return r.at == inHead || r.at == pending }

// EndHead tells that the head is complete, and whether it ends the stream (Trailers-Only).
func (r *Response) EndHead(endStream bool) {
	switch {
	case r.grpc && !endStream: // what such a head says is not of the call's end
		*r = Response{at: pending, http: r.http, grpc: true}
	case r.grpc, r.known && endStream:
		r.end(Unknown)
	default:
		r.known = false
		r.end(StatusOfHTTP(r.http))
	}
}

// EndTrailers tells that the trailers are complete.
func (r *Response) EndTrailers() {
	if r.at == pending {
		r.end(Unknown)
	}
}

// EndWithout tells that the stream ended without trailers.
func (r *Response) EndWithout() {
	if r.at == pending {
		r.known = false
		r.end(Internal)
	}
}

// end ends the response; the status is another if none was said.
func (r *Response) end(otherwise int) {
	r.at = ended
	if !r.known {
		r.status, r.known = otherwise, true
	}
}

// Status returns the call's status; None as long as it is not known.
func (r *Response) Status() int {
	if r.at == ended {
		return r.status
	}
	return None
}

// Fill enters into to what is known: the status or that it is pending, and what the server wants of retries (rule 14). A value that is
// negative, malformed or not alone forbids them.
func (r *Response) Fill(to *call.Response) {
	to.GRPCStatus, to.GRPCPending = r.Status(), r.at == pending
	switch {
	case r.at != ended || r.pushbacks == 0:
	case r.pushbacks > 1:
		to.RetryAfter, to.HasRetryAfter, to.OfLimit = -1, true, false
	default:
		to.RetryAfter, to.HasRetryAfter, to.OfLimit = r.pushback, true, false
	}
}

// mostPushback bounds what a server can ask for; anything longer is given up on long before.
const mostPushback = 1<<31 - 1

// parsePushback reads a grpc-retry-pushback-ms; what is not a number is negative.
func parsePushback(value []byte) time.Duration {
	n := time.Duration(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return -1
		}
		n = min(10*n+time.Duration(c-'0'), mostPushback)
	}
	if len(value) == 0 {
		return -1
	}
	return n * time.Millisecond
}
