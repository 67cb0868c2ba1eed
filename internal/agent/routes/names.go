package routes

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Names finds the addresses of host names.
type Names interface {
	// Lookup returns the addresses of a name, in lower case and without a final dot, and until when they may be used. asker is the pod that wants
	// to know, which is to cost others nothing; empty: what a policy names.
	Lookup(ctx context.Context, asker, name string) (addrs []netip.Addr, until time.Time, err error)
}

// hostName is what is called under a host destination.
type hostName struct {
	name string
	port uint16
}

// nameOf returns the host name that a destination of the binding stands for; ok is false where there is none to look up.
//
// Under a pattern the name is the word of whoever wrote the request, and asking for a name tells it to the servers that know it. Below a
// suffix they are those of the suffix's owner, whom the policy names; but no look-up is made under "*", or a pod that may not ask the DNS
// could tell anybody anything by way of the agent.
func (b *Binding) nameOf(destination string) (n hostName, ok bool) {
	if b.source.To.Kind != policy.TargetHost || b.host.exact == "" && b.host.suffix == "" {
		return n, false
	}
	colon := strings.LastIndexByte(destination, ':')
	if colon < 0 || !isHostName(destination[:colon]) {
		return n, false
	}
	port, err := strconv.ParseUint(destination[colon+1:], 10, 16)
	return hostName{destination[:colon], uint16(port)}, err == nil
}

// isHostName reports whether a lower-case text can be the absolute name of a host: labels of letters, digits, hyphens and underscores, more
// than one of them, the last one not a number (which would be an address).
func isHostName(s string) bool {
	if len(s) > maxName {
		return false
	}
	labels := strings.Split(s, ".")
	last := labels[len(labels)-1]
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(labels) > 1 && strings.Trim(last, "0123456789") != ""
}

// HasName reports whether calls of the route, which may be nil, may go to other addresses of a host name, once FindAddresses has found them.
func (r *Route) HasName() bool { return r != nil && r.named }

// FindAddresses sees to it that the route's pool knows the addresses of its host name, and waits for them as long as ctx allows. That none
// are found is no failure of the call: it goes to where it would go otherwise.
func (r *Route) FindAddresses(ctx context.Context) {
	cluster := r.entry.state.cluster
	n, ok := r.nameOf(r.entry.key.destination)
	names, asker := r.table.names, r.entry.pod
	if r.ByName() { // which the policy names, and no pod
		names, asker = r.table.proxyNames, ""
	}
	if r.throughProxy() {
		n, ok = hostName{r.source.To.Via.Host, r.source.To.Via.Port}, true
	}
	if !ok || cluster.KnowsName(time.Now()) {
		return
	}
	addrs, until, err := lookUp(ctx, names, asker, n.name)
	if err != nil {
		return
	}
	known := upstream.Name{Until: until, Exact: r.host.exact != ""}
	for _, a := range addrs {
		known.Addrs = append(known.Addrs, netip.AddrPortFrom(a, n.port))
	}
	cluster.SetName(known)
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	r.entry.state.setMembers()
}

// fixedFor is how long an address stands for itself before that is said again.
const fixedFor = time.Hour

// lookUp returns the addresses of a name, or an address for itself. names may be nil.
func lookUp(ctx context.Context, names Names, asker, name string) ([]netip.Addr, time.Time, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, time.Now().Add(fixedFor), nil
	}
	if names == nil {
		return nil, time.Time{}, errNoNames
	}
	return names.Lookup(ctx, asker, name)
}

var errNoNames = errors.New("routes: nobody looks up names")

// ByName reports whether calls of the route, which may be nil, go to the addresses of a name that have to be found before the first attempt: those of
// the HTTP proxy that they go through, or of a host that they fall back on.
func (r *Route) ByName() bool { return r != nil && r.byName() }

// DetailUnknown says that no address was found of that name.
func (r *Route) DetailUnknown() Detail {
	if r.throughProxy() {
		return DetailProxyUnknown
	}
	return DetailFallbackUnknown
}

// KnowsAddresses reports whether FindAddresses would find nothing but what is known already.
func (r *Route) KnowsAddresses(now time.Time) bool { return r.entry.state.cluster.KnowsName(now) }

// staleFor is how long the addresses of such a name serve, after they should have been looked up again, while that is done (as in RFC 8767).
const staleFor = 5 * time.Minute

// RefreshName reports whether there are addresses of the route's name that may be used. If they should be looked up again, that begins, and
// is not waited for: a later call finds what it has found.
func (r *Route) RefreshName(now time.Time) bool {
	cluster := r.entry.state.cluster
	switch {
	case cluster.KnowsName(now):
		return true
	case !cluster.KnowsName(now.Add(-staleFor)) || !cluster.HasAddresses():
		return false
	}
	r.FindAddresses(ended)
	return true
}

// ended is the context of those who do not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// HasAddress reports whether there is an address of that name to try.
func (r *Route) HasAddress() bool { return r.entry.state.cluster.HasAddresses() }
