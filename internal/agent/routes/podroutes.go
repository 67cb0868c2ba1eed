package routes

import (
	"maps"
	"net/netip"
	"sync"

	"fairlead.dev/fairlead/internal/policy"
)

// PodRoutes is the policy of one pod in one version. It is immutable but for the routes already resolved, which it remembers.
type PodRoutes struct {
	pod     string // UID
	caller  policy.Caller
	profile *profile
	table   *Table

	mu sync.Mutex
	// guarded by mu
	routes map[routeKey]*Route // none of them stale
}

type routeKey struct {
	binding     *Binding
	destination string
	intercepted bool
	would       wouldBe
}

// request is what of a request its destination may depend on: the host, as AppendHost leaves it, and the address that the connection is for.
type request struct {
	host     []byte
	original netip.AddrPort
}

// Candidate is a binding that may govern the calls of a connection.
type Candidate struct {
	*Binding
	// destination is the concrete destination; empty when it depends on the request or the address.
	destination string
	// Pinned: calls go to the address that the connection is for, because the client chose it.
	Pinned bool
	// unlessNamed: requests that name the Service are not pinned, because the node may have chosen the address.
	unlessNamed bool
	// intercepted: the connection's TLS ends at the agent.
	intercepted bool
	caller      policy.Caller
}

// Recorder returns the observer's handle for the connection, if it is passed through as the candidate's.
func (c *Candidate) Recorder() Recorder { return c.recorder.ForCaller(c.caller) }

// Candidates returns the bindings that can govern a connection to original, in order of precedence. Those behind one that
// governs whatever is left are not among them. Those of dry runs come last.
func (t *PodRoutes) Candidates(original netip.AddrPort) []Candidate {
	var out []Candidate
	for _, list := range [][]*Binding{t.profile.bindings, t.profile.dryRuns} {
		for _, b := range list {
			c, ok := b.covers(original)
			if !ok || b.origin.Unchanged { // which an enforced one is there for
				continue
			}
			c.caller = t.caller
			c.unlessNamed = c.Pinned && b.hasAddress(original.Addr()) && t.table.translates(original.Addr())
			out = append(out, c)
			if !b.NeedsHost() {
				return out
			}
		}
	}
	return out
}

// Governs reports whether the candidate governs a request for a host, given as AppendHost leaves it.
func (c *Candidate) Governs(host []byte) bool {
	return !c.NeedsHost() || c.host.matches(host)
}

// Route resolves what a request that the candidate governs needs. It is meant to be kept for further requests of the connection
// to the same host, as long as Route.Stale says no.
func (t *PodRoutes) Route(c *Candidate, host []byte, original netip.AddrPort) (*Route, error) {
	r := request{host, original}
	k := routeKey{binding: c.Binding, destination: c.destinationOf(r), intercepted: c.intercepted}
	if len(t.profile.dryRuns) > 0 && !c.backup {
		k.would = t.wouldBe(c, k.destination, r)
	}
	t.mu.Lock()
	route := t.routes[k]
	t.mu.Unlock()
	if route != nil && !route.Stale() {
		route.use()
		return route, nil
	}
	return t.table.resolve(t, c, k)
}

// destinationOf names the concrete destination of a request.
func (c *Candidate) destinationOf(r request) string {
	switch {
	case c.destination != "":
		return c.destination
	case c.NeedsHost():
		return hostDestination(r.host, r.original.Port())
	}
	return r.original.String()
}

// remember keeps a route for those who ask for it again, unless it is stale.
func (t *PodRoutes) remember(r *Route, k routeKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Stale() {
		return
	}
	if t.routes == nil {
		t.routes = map[routeKey]*Route{}
	}
	t.routes[k] = r
}

// forget drops the route of an entry that was forgotten. It expects the table's lock.
func (t *PodRoutes) forget(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(e.shadows) > 0 {
		maps.DeleteFunc(t.routes, func(_ routeKey, r *Route) bool { return r.entry == e })
		return
	}
	k := routeKey{binding: t.profile.byKey[e.key.binding], destination: e.key.destination, intercepted: e.key.way.Intercepted}
	if r := t.routes[k]; r != nil && r.entry == e { // and not of a version that calls the destination in another way
		delete(t.routes, k)
	}
}
