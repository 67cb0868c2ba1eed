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
	// authority is Authority; backups are the routes that calls fall back on
	authority string
	backups   []*Route

	opaque atomic.Pointer[Plan] // of connections that are passed through; nil: none has been yet
}

// Plan governs a call.
type Plan struct {
	call.Plan
	Rule string
	// KeyHeader is the name of the idempotency key's field, and ResponseHeaders those that ask for a retry, in lower case.
	KeyHeader       string
	ResponseHeaders []policy.HeaderMatch
	// Backup is the route of Fallback.Plan.
	Backup *Route

	gateNames []Detail // of Gates
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

// Plan returns what governs a request that is no gRPC call.
func (r *Route) Plan(method, path []byte) *Plan { return r.planFor(method, path, false) }

// PlanOfGRPC returns what governs a gRPC call.
func (r *Route) PlanOfGRPC(path []byte) *Plan { return r.planFor(post, path, true) }

var post = []byte("POST")

func (r *Route) planFor(method, path []byte, grpc bool) *Plan {
	r.use()
	if len(r.rules) == 0 {
		return &r.plans[0]
	}
	return &r.plans[r.settingsFor(method, path, grpc)]
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
func (r *Route) HasRules() bool { return len(r.rules) > 0 }

// NamesGRPC reports whether it matters if a request is a gRPC call.
func (r *Route) NamesGRPC() bool { return r.namesGRPC }

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
