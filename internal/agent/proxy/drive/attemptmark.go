package drive

import (
	"strconv"

	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// AttemptField is the field that numbers attempts, in lower case: an Integer of Structured Fields (RFC 9651 section 3.3.1) with a parameter
// reason, a Token.
const AttemptField = "fairlead-attempt"

// mostAttempts bounds what is believed of the attempts that were made before a call arrived.
const mostAttempts = 1000

// AttemptsBefore returns how many attempts of a call were made before it arrived, as far as its policy wants that to be known: what its head
// says of it. isGRPC: it is a gRPC call.
func AttemptsBefore(p *routes.Plan, v route.View, isGRPC bool) int {
	if !p.Settings.AttemptHeader && !p.Settings.Retry.SkipRetried && (p.Would == nil || !p.Would.Settings.Retry.SkipRetried) {
		return 0
	}
	before := 0
	if value, ok := v.Header(AttemptField); ok {
		before = max(readAttempt(value)-1, 0)
	}
	if isGRPC {
		if value, ok := v.Header("grpc-previous-rpc-attempts"); ok {
			before = max(before, grpc.PreviousAttempts(value))
		}
	}
	return min(before, mostAttempts)
}

// readAttempt reads the number in a fairlead-attempt; 0: it has none. Parameters are left to who wants them.
func readAttempt(value []byte) int {
	n := 0
	for i, c := range value {
		switch {
		case c >= '0' && c <= '9' && i < 15: // RFC 9651 has no more digits
			n = min(10*n+int(c-'0'), mostAttempts+1)
		case c == ';' && i > 0:
			return n
		default:
			return 0
		}
	}
	return n
}

// AppendAttempt appends the value of fairlead-attempt for an attempt, with the reason that there is more than one; an empty reason is left out.
func AppendAttempt(dst []byte, number int, reason string) []byte {
	dst = strconv.AppendInt(dst, int64(number), 10)
	if reason == "" {
		return dst
	}
	return append(append(dst, ";reason="...), reason...)
}
