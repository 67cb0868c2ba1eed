package telemetry

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// result is how a call or an attempt ended, as one number: a response of one of five classes, a connection without responses, or a
// kind of failure.
type result uint8

const (
	codeClasses = 6 // 1xx to 5xx, and what has no status
	resultCount = codeClasses + int(call.KindCount) - 1
)

// resultOf returns the result of a kind and, for call.OK, a status; 0: there is none.
func resultOf(k call.Kind, status int) result {
	if k != call.OK {
		return result(codeClasses - 1 + int(min(k, call.Internal)))
	}
	if status == 0 {
		return codeClasses - 1
	}
	return result(min(max(status/100, 1), codeClasses-1) - 1)
}

// kind is the label for how it ended.
func (r result) kind() call.Kind {
	if r < codeClasses {
		return call.OK
	}
	return call.Kind(r - codeClasses + 1)
}

// code is the label for the class of the status; empty when there was no response.
func (r result) code() string {
	if r < codeClasses {
		return [codeClasses]string{"1xx", "2xx", "3xx", "4xx", "5xx", ""}[r]
	}
	return ""
}

// grpcStatuses is how many statuses of gRPC there are, and one for none.
const grpcStatuses = 18

// grpcResult is the place of a status among those that are counted; what is no status counts as none.
func grpcResult(status int) int {
	if status < 0 || status >= grpcStatuses-1 {
		return grpcStatuses - 1
	}
	return status
}

// grpcLabel is the label of a place.
func grpcLabel(i int) string {
	if i == grpcStatuses-1 {
		return "none"
	}
	return policy.GRPCStatus(i).String()
}

// good reports whether a call with this retry decision counts as a success: its last attempt was good enough.
func good(f call.RetryDecision) bool { return f == call.NotNeeded || f == call.Recovered }
