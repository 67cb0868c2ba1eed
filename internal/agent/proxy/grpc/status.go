package grpc

import "fairlead.dev/fairlead/internal/policy"

// None stands for a status that is not known.
const None = -1

// The statuses that other protocols' stand for (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
const (
	Cancelled         = 1
	Unknown           = 2
	PermissionDenied  = 7
	ResourceExhausted = 8
	Unimplemented     = 12
	Internal          = 13
	Unavailable       = 14
	Unauthenticated   = 16
)

// greatest is the greatest status that is defined.
const greatest = 16

// ParseStatus reads a grpc-status. One that is not a defined number is Unknown, as clients take it.
func ParseStatus(value []byte) int {
	if len(value) == 0 {
		return Unknown
	}
	n := 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return Unknown
		}
		if n = 10*n + int(c-'0'); n > greatest {
			return Unknown
		}
	}
	return n
}

// The codes of HTTP/2's errors that stand for another status than Internal.
const (
	http2RefusedStream      = 0x7
	http2Cancel             = 0x8
	http2EnhanceYourCalm    = 0xb
	http2InadequateSecurity = 0xc
)

// StatusOfReset returns what a client takes for the status of a call whose stream was reset with a code. The agent answers with it, so that
// the client sees what it would see of the reset itself.
func StatusOfReset(code uint32) int {
	switch code {
	case http2RefusedStream:
		return Unavailable
	case http2Cancel:
		return Cancelled
	case http2EnhanceYourCalm:
		return ResourceExhausted
	case http2InadequateSecurity:
		return PermissionDenied
	}
	return Internal
}

// StatusOfHTTP returns what a client takes for the status of a call that was answered with a status of HTTP and without one of gRPC.
func StatusOfHTTP(status int) int { return int(policy.GRPCStatusOfHTTP(status)) }
