package routes

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Route is everything that calls of one pod under one binding to one concrete destination need, resolved.
type Route struct {
	*Binding
	Pool *upstream.Pool

	// immutable
	table *Table
	plans []Plan // the base's, then the rules'
	entry *entry
	named bool // see HasName
	// recorder is the observer's handle for the pod's calls
	recorder Recorder
	// authority is Authority; backups are the routes that calls fall back on
	authority string
	backups   []*Route

	// shadow is what calls would come under; nil: what they come under. Its settings come behind each of plans' own.
	shadow *Binding
	would  wouldBe

	opaque atomic.Pointer[Plan] // of connections that are passed through; nil: none has been yet
}

// Plan governs a call.
type Plan struct {
	call.Plan
	Rule string
	// KeyHeader is the name of the idempotency key's field, and ResponseHeaders those that ask for a retry, in lower case.
	KeyHeader       string
	ResponseHeaders []policy.HeaderMatch
	// Tracing says which calls are traced; nil: none, since the policy does not ask for it or nothing exports spans.
	Tracing *policy.Tracing
	// Backup is the route of Fallback.Plan.
	Backup *Route

	// Would is Shadow, with what drivers need of it; nil: there is none.
	Would *Plan

	gateNames []Detail // of Gates
	// of a Would
	recorder Recorder
	policy   policy.ID
}

// Recorder returns the observer's handle for the calls of the route.
func (r *Route) Recorder() Recorder { return r.recorder }

// Source is what the route was compiled from, which must not be changed.
func (r *Route) Source() *policy.Binding { return r.source }

// Destination is the concrete one that the route leads to: namespace/name:port of a Service, host:port, or address:port.
func (r *Route) Destination() string { return r.entry.key.destination }

// Gate names a limit of the plan's, by its place.
func (p *Plan) Gate(i int) Detail {
	if i < len(p.gateNames) {
		return p.gateNames[i]
	}
	return NoDetail
}

// Refusal names what did not let a call in, if that is how it ended.
func (p *Plan) Refusal(o *call.Outcome) Detail {
	if o.Kind == call.BreakerOpen && p.Breaker != nil {
		return refusedBy[p.Breaker.OpenedBy(time.Now())]
	}
	if o.Kind != call.RateLimited || o.Refusal.Gate >= len(p.gateNames) {
		return NoDetail
	}
	return p.gateNames[o.Refusal.Gate]
}

// MatchesField reports whether a response has one of the fields that ask for a retry, given what returns the value of a field.
func (p *Plan) MatchesField(value func(name string) ([]byte, bool)) bool {
	for i := range p.ResponseHeaders {
		h := &p.ResponseHeaders[i]
		if v, ok := value(h.Name); ok && (h.Value == "" || string(v) == h.Value) {
			return true
		}
	}
	return false
}

// refusedBy are the details of what keeps a breaker open. The table is never written to.
var refusedBy = map[resilience.OpenedBy]Detail{
	resilience.ByNode: NoDetail, resilience.ByCluster: DetailCluster, resilience.ByHand: DetailByHand,
}

func newPlan(s *settings, p call.Plan) Plan {
	out := Plan{Plan: p, Rule: s.name, KeyHeader: strings.ToLower(s.values.Retry.KeyHeader)}
	for _, h := range s.values.Retry.ResponseHeaders {
		out.ResponseHeaders = append(out.ResponseHeaders, policy.HeaderMatch{Name: strings.ToLower(h.Name), Value: h.Value})
	}
	return out
}

// Plan returns what governs a request that is no gRPC call, and of whose head nothing is known but this.
func (r *Route) Plan(method, path []byte) *Plan {
	return r.PlanFor(&Request{Method: method, Path: path})
}

// PlanFor returns what governs a request.
func (r *Route) PlanFor(q *Request) *Plan {
	r.use()
	i := 0
	if len(r.rules) > 0 {
		i = r.settingsFor(q)
	}
	if w := r.shadow; w != nil {
		i *= len(w.rules) + 1
		if len(w.rules) > 0 {
			i += w.settingsFor(q)
		}
	}
	return &r.plans[i]
}

// OpaquePlan returns what governs a connection that is passed through: the settings of the base, with a breaker and a budget of its own.
func (r *Route) OpaquePlan() *Plan {
	r.use()
	if p := r.opaque.Load(); p != nil {
		return p
	}
	return r.table.opaquePlan(r)
}

// use notes that a call goes there, and may go where it falls back on.
func (r *Route) use() {
	r.entry.use()
	for _, b := range r.backups {
		b.entry.use()
	}
}

// HasRules reports whether Plan looks at the request.
func (r *Route) HasRules() bool {
	return len(r.rules) > 0 || r.shadow != nil && len(r.shadow.rules) > 0
}

// NamesGRPC reports whether it matters if a request is a gRPC call.
func (r *Route) NamesGRPC() bool { return r.namesGRPC || r.shadow != nil && r.shadow.namesGRPC }

// LooksAtHeads reports whether Request.Head matters.
func (r *Route) LooksAtHeads() bool {
	return r.looksAtHeads || r.shadow != nil && r.shadow.looksAtHeads
}

// Stale reports that the route's destination was forgotten to bound memory, or one that its calls fall back on: it still works, but should be
// resolved again.
func (r *Route) Stale() bool {
	for _, b := range r.backups {
		if b.entry.forgotten.Load() {
			return true
		}
	}
	return r.entry.forgotten.Load()
}

func hostDestination(host []byte, port uint16) string {
	b := make([]byte, 0, len(host)+6)
	b = append(b, host...)
	b = append(b, ':')
	return string(strconv.AppendUint(b, uint64(port), 10))
}
