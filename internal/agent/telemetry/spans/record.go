package spans

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// record is one call, copied. Long values are cut.
type record struct {
	trace    routes.Trace
	outcome  call.Outcome
	took     time.Duration
	policy   policy.ID
	target   string
	pod      string // UID
	rule     string
	original netip.AddrPort
	grpc     bool
	detail   routes.Detail
	// memory of their own, used again
	method, host, path []byte
	attempts           []routes.Attempt
	attemptSpans       []routes.Span
}

// What is exported of a request at most.
const (
	maxMethod = 16
	maxHost   = 128
	maxPath   = 256
)

// copyOf makes r a copy of a call. Queries are left out: they hold secrets.
func (r *record) copyOf(x *routes.Exchange, id policy.ID, target string) {
	r.trace, r.outcome, r.took = *x.Trace, x.Outcome, x.Took
	r.policy, r.target, r.pod, r.rule, r.original = id, target, x.Pod, x.Rule, x.Original
	r.grpc, r.detail = x.GRPC, x.Detail
	r.method = appendCut(r.method[:0], x.Method, maxMethod)
	r.host = appendCut(r.host[:0], routes.ShownHost(x.Host), maxHost)
	r.path = appendCut(r.path[:0], routes.ShownPath(x.Path), maxPath)
	n := min(len(x.Attempts), len(x.Trace.Attempts))
	r.attempts = append(r.attempts[:0], x.Attempts[:n]...)
	r.attemptSpans = append(r.attemptSpans[:0], x.Trace.Attempts[:n]...)
	r.trace.Attempts = nil
}

// forget drops what is not r's own memory.
func (r *record) forget() {
	*r = record{method: r.method, host: r.host, path: r.path, attempts: r.attempts[:0], attemptSpans: r.attemptSpans[:0]}
}

// spans is how many spans r stands for.
func (r *record) spans() uint64 { return uint64(1 + len(r.attempts)) }

func appendCut(to, b []byte, most int) []byte { return append(to, b[:min(len(b), most)]...) }
