package routes

import (
	"net/netip"
	"sync"
)

// PodRoutes is the policy of one pod in one version. It is immutable but for the routes already resolved, which it remembers.
type PodRoutes struct {
	pod     string // UID
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
}

// Candidates returns the bindings that can govern a connection to original, in order of precedence. Those behind one that
// governs whatever is left are not among them.
func (t *PodRoutes) Candidates(original netip.AddrPort) []Candidate {
	var out []Candidate
	for _, b := range t.profile.bindings {
		c, ok := b.covers(original)
		if !ok {
			continue
		}
		c.unlessNamed = c.Pinned && b.hasAddress(original.Addr()) && t.table.translates(original.Addr())
		out = append(out, c)
		if !b.NeedsHost() {
			break
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
	destination := c.destination
	switch {
	case destination != "":
	case c.NeedsHost():
		destination = hostDestination(host, original.Port())
	default:
		destination = original.String()
	}
	t.mu.Lock()
	route := t.routes[routeKey{c.Binding, destination, c.intercepted}]
	t.mu.Unlock()
	if route != nil && !route.Stale() {
		route.use()
		return route, nil
	}
	return t.table.resolve(t, c, destination)
}

// remember keeps a route for those who ask for it again, unless it is stale.
func (t *PodRoutes) remember(r *Route, destination string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Stale() {
		return
	}
	if t.routes == nil {
		t.routes = map[routeKey]*Route{}
	}
	t.routes[routeKey{r.Binding, destination, r.entry.key.way.Intercepted}] = r
}

// forget drops the route of an entry that was forgotten. It expects the table's lock.
func (t *PodRoutes) forget(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := routeKey{t.profile.byKey[e.key.binding], e.key.destination, e.key.way.Intercepted}
	if r := t.routes[k]; r != nil && r.entry == e { // and not of a version that calls the destination in another way
		delete(t.routes, k)
	}
}
