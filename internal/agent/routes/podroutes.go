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
	routes  map[routeKey]*Route
	sweepAt int // size of routes at which stale ones are looked for
}

type routeKey struct {
	binding     *Binding
	destination string
}

// Candidate is a binding that may govern the calls of a connection.
type Candidate struct {
	*Binding
	// destination is the concrete destination; empty when it depends on the request or the address.
	destination string
	// Pinned: calls go to the address that the client chose.
	Pinned bool
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
	route := t.routes[routeKey{c.Binding, destination}]
	t.mu.Unlock()
	if route != nil && !route.Stale() {
		route.entry.use()
		return route, nil
	}
	return t.table.resolve(t, c, destination)
}

func (t *PodRoutes) remember(r *Route, destination string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.routes == nil {
		t.routes, t.sweepAt = map[routeKey]*Route{}, 64
	}
	if len(t.routes) >= t.sweepAt {
		for k, old := range t.routes {
			if old.Stale() {
				delete(t.routes, k)
			}
		}
		t.sweepAt = 2*len(t.routes) + 64
	}
	t.routes[routeKey{r.Binding, destination}] = r
}
