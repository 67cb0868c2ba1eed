package upstream

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// Choice says why a host was chosen, and what making a connection to it took, for who watches a call.
type Choice struct {
	// By is what has chosen: original, where only the address will do that the client called; name, where the addresses of a name are tried; affinity, where
	// the pod keeps its host; round_robin, random or least_request.
	By string
	// Hosts is how many there are of the family that the client called, Unreachable how many of them the pod could not connect to lately, Ejected how many
	// are out by their breakers, and Avoided how many the call has used.
	Hosts, Unreachable, Ejected, Avoided int
	// Outstanding is how many calls of the node were under way to the chosen one.
	Outstanding int
	// Full: the pool may make no more connections, so that a host with one that is free was preferred.
	Full bool

	handshake atomic.Int64 // a time.Duration; 0: there was none
}

// Handshake is how long the handshake of a new connection took; 0: there was none.
func (c *Choice) Handshake() time.Duration { return time.Duration(c.handshake.Load()) }

// explain fills in why a host was chosen for a request. It expects the lock, and no call to have been counted at the host for it yet.
//
//go:noinline
func (p *Pool) explain(now time.Time, r *Request, hc *hostConns) {
	c, f := r.Choice, p.family(r)
	c.By, c.Outstanding, c.Full = p.chooser(r, f), int(hc.host.outstanding.Load()), p.poolFull()
	c.Hosts, c.Unreachable, c.Ejected, c.Avoided = 0, 0, 0, 0
	if c.By == "original" || c.By == "name" {
		return
	}
	for _, h := range p.set.byFamily[f] {
		c.Hosts++
		of := p.conns(h)
		if of != nil && of.isDown(now) {
			c.Unreachable++
		}
		if ep := p.endpointOf(r.Endpoints, h.addr, of); ep != nil && !ep.Takes(now, 0) {
			c.Ejected++
		}
		if slices.Contains(r.Avoid, h.addr) {
			c.Avoided++
		}
	}
}

// chooser names what chooses for a request.
func (p *Pool) chooser(r *Request, family int) string {
	switch {
	case p.byName:
		return "name"
	case p.wantsOriginal(r, family):
		return "original"
	}
	switch p.set.picker.(type) {
	case keptHost:
		return "affinity"
	case roundRobin:
		return "round_robin"
	case randomHost:
		return "random"
	}
	return "least_request"
}

// timed notes how long a handshake takes.
func (c *Choice) timed(handshake func(context.Context, *transport.Conn) error) func(context.Context, *transport.Conn) error {
	return func(ctx context.Context, conn *transport.Conn) error {
		began := time.Now()
		defer func() { c.handshake.Store(int64(time.Since(began))) }()
		return handshake(ctx, conn)
	}
}
