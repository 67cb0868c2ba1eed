package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Fallback is what a call that could not be served ends with instead.
type Fallback struct {
	On FallbackOn `json:"When"` // as the API says it, where people read this
	// Response is the answer; nil: Destination is called.
	Response *FallbackResponse
	// Destination is called instead, once: a TargetService or the TargetHost of one name, with one port at most; without one it is the port that was
	// called. It has neither TLS nor Via: a host is called as the binding's own target is.
	Destination *Target `json:",omitempty"`
}

// Backups yields the destinations that calls of the binding may fall back on, those of its rules last. One may come more than once.
func (b *Binding) Backups(yield func(*Target) bool) {
	if f := b.Base.Fallback; f != nil && f.Destination != nil && !yield(f.Destination) {
		return
	}
	for i := range b.Rules {
		if f := b.Rules[i].Settings.Fallback; f != nil && f.Destination != nil && !yield(f.Destination) {
			return
		}
	}
}

// Services lists the Destination resources that a profile's bindings name, each once.
func (p *Profile) Services() []string {
	var out []string
	add := func(t *Target) bool {
		if t.Kind == TargetService {
			out = append(out, t.Service)
		}
		return true
	}
	for i := range p.Bindings {
		add(&p.Bindings[i].To)
		p.Bindings[i].Backups(add)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// FallbackOn says in which cases a fallback applies.
type FallbackOn struct {
	// CircuitOpen: an open breaker rejects the call.
	CircuitOpen bool
	// RetriesExhausted: its last attempt has failed, and no other is allowed, for whatever reason.
	RetriesExhausted bool
	// RateLimited: a limit of the policy's own rejects it.
	RateLimited bool
}

// FallbackResponse is an answer of the policy's own.
type FallbackResponse struct {
	Status  int
	Headers []HeaderField
	Body    string
}

// HeaderField is a header field of a message.
type HeaderField struct{ Name, Value string }

// greatestGRPC is the greatest status of gRPC that is defined.
const greatestGRPC = 16

// GRPCStatus is the status that gRPC calls are answered: that of the field grpc-status, or else what the status of HTTP stands for, of which those of success
// stand for OK.
func (r *FallbackResponse) GRPCStatus() GRPCStatus {
	for _, h := range r.Headers {
		if !strings.EqualFold(h.Name, "grpc-status") {
			continue
		}
		if n, err := strconv.ParseUint(h.Value, 10, 8); err == nil && n <= greatestGRPC {
			return GRPCStatus(n)
		}
	}
	if r.Status < 300 {
		return 0
	}
	return GRPCStatusOfHTTP(r.Status)
}

// GRPCStatusOfHTTP returns what a client takes for the status of a call that was answered with a status of HTTP and without one of gRPC
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func GRPCStatusOfHTTP(status int) GRPCStatus {
	switch status {
	case 400:
		return 13 // INTERNAL
	case 401:
		return 16 // UNAUTHENTICATED
	case 403:
		return 7 // PERMISSION_DENIED
	case 404:
		return 12 // UNIMPLEMENTED
	case 429, 502, 503, 504:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}
