package flows

import (
	"net/netip"
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// Line counts the calls of one route.
type Line struct {
	// immutable
	book *Book
	key  flowKey // destination is the route's own
	// byAddress: the route's destination is an address, so that calls say by their hosts what they are for.
	byAddress bool

	last atomic.Pointer[found]
}

// found is the flow that the last call belonged to.
type found struct {
	*flow
	host     string // of the call, as it was given
	protocol policy.FlowProtocol
}

// Route says whose calls to what a Line counts.
type Route struct {
	Caller              policy.Caller
	Policy              policy.ID
	Target, Destination string
	ByAddress           bool
}

// Line returns what counts for a route.
func (b *Book) Line(r Route) *Line {
	return &Line{book: b, byAddress: r.ByAddress, key: flowKey{caller: r.Caller, policy: r.Policy, target: r.Target, destination: r.Destination}}
}

// counted is what is counted of a call.
type counted struct {
	good, timed bool
	retries     int
	bucket      int
	address     netip.AddrPort
}

// Count counts a call that has ended.
func (l *Line) Count(e *routes.Exchange) {
	if !l.book.wanted.Load() {
		return
	}
	o := &e.Outcome
	c := counted{
		good:  (o.Decision == call.NotNeeded || o.Decision == call.Recovered) && (!o.Truncated || e.Detail == routes.DetailClientLeft),
		timed: o.Decision != call.Abandoned, bucket: policy.LatencyBucket(o.Took),
		retries: max(o.Attempts-o.Hedges-1, 0),
	}
	if l.byAddress {
		c.address = e.Original
	}
	protocol := protocolOf(e)
	if f := l.last.Load(); f != nil && f.protocol == protocol && (!l.byAddress || f.host == string(e.Host)) && f.add(&c) {
		return
	}
	l.find(e, protocol, &c)
}

// find counts a call that is not like the last one.
func (l *Line) find(e *routes.Exchange, protocol policy.FlowProtocol, c *counted) {
	k := l.key
	k.protocol = protocol
	if l.byAddress {
		if host, ok := appendHost(nil, e.Host); ok {
			k.destination = string(appendPort(host, e.Original.Port()))
		}
	}
	var space [512]byte
	for {
		f := l.book.find(&k, space[:0])
		if !f.add(c) {
			continue // forgotten this moment
		}
		if f != &l.book.other {
			l.last.Store(&found{flow: f, host: string(e.Host), protocol: protocol})
		}
		return
	}
}

// protocolOf says what a call was made over, as far as it is known.
func protocolOf(e *routes.Exchange) policy.FlowProtocol {
	switch {
	case e.GRPC:
		return policy.FlowGRPC
	case len(e.Method) > 0:
		return policy.FlowHTTP
	case len(e.Host) > 0:
		return policy.FlowTLS
	}
	return policy.FlowTCP
}
