package grpc

import (
	"cmp"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"
)

// Reply is the agent's own answer to a gRPC call: a head that ends the stream (rule 26).
type Reply struct {
	Status int
	// ContentType is that of the request, since clients take no other; empty: that of gRPC without a codec.
	ContentType string
	// Reason is the local reason: the value of fairlead-reason.
	Reason string
	// Pushback is how long the client shall wait before it tries again; 0: nothing is said of it.
	Pushback time.Duration
}

// Fields yields the fields of the head, behind :status, which is 200.
func (p *Reply) Fields() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		_ = yield("content-type", cmp.Or(p.ContentType, contentType)) &&
			yield("grpc-status", strconv.Itoa(p.Status)) &&
			yield("grpc-message", string(AppendMessage(nil, "fairlead: "+p.Reason))) &&
			yield("fairlead-reason", p.Reason) &&
			(p.Pushback <= 0 || yield("grpc-retry-pushback-ms", strconv.FormatInt(p.Pushback.Milliseconds(), 10)))
	}
}

const hex = "0123456789ABCDEF"

// AppendMessage appends a text as grpc-message has it: Percent-Encoded → 1*(Percent-Byte-Unencoded / Percent-Byte-Encoded). What is not
// UTF-8 is replaced, since clients read it as UTF-8.
func AppendMessage(dst []byte, text string) []byte {
	for _, r := range text {
		if ' ' <= r && r <= '~' && r != '%' {
			dst = append(dst, byte(r))
			continue
		}
		var b [utf8.UTFMax]byte
		for _, c := range b[:utf8.EncodeRune(b[:], r)] {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// AppendPreviousAttempts appends the grpc-previous-rpc-attempts of a call's attempt: how many came before it by the agent's doing, and by
// that of its client, which has said so in own, the field's value in the request. What is no number there does not count.
func AppendPreviousAttempts(dst, own []byte, retries int) []byte {
	return strconv.AppendInt(dst, int64(PreviousAttempts(own)+retries), 10)
}

// PreviousAttempts reads a grpc-previous-rpc-attempts. What is no number is 0.
func PreviousAttempts(value []byte) int {
	before := 0
	for _, c := range value {
		if c < '0' || c > '9' || before > mostAttempts {
			return 0
		}
		before = 10*before + int(c-'0')
	}
	return before
}

// mostAttempts bounds what is believed of a client's attempts.
const mostAttempts = 1_000_000
