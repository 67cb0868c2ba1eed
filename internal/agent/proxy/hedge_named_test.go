package proxy

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// A hedge whose address does not answer is connected to another one of the name; what comes after it avoids that one too.
func TestRule17_WhatAHedgeWasConnectedToIsAvoided(t *testing.T) {
	// The other address is tried when the first one has not answered for a quarter of a second.
	fromDelay(t, 500*time.Millisecond, func(delay time.Duration) bool {
		var first, other atomic.Int64
		server := serve(t, func(_ int, p *peer) {
			if _, _, ok := p.request(); !ok {
				return
			}
			if first.Add(1) == 1 {
				_, _ = p.r.ReadByte() // until it is given up
				return
			}
			p.ok("again")
		})
		w := buildNamed(t, serve(t, func(_ int, p *peer) {
			if _, _, ok := p.request(); ok {
				other.Add(1)
			}
		}), toHost("api.example", hedges(policy.Hedging{Max: 2, Delay: delay}, func(s *policy.Settings) {
			s.Timeouts.Overall = 4 * delay
		})))
		w.dialer.at.Store(w.original, server)
		w.dialer.silent.Store(netip.AddrPortFrom(netip.MustParseAddr(six), w.original.Port()), true)
		w.names.set("api.example", dead, six, alive)
		w.knowsNames("api.example")
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
		if res, body := c.response("GET"); res.StatusCode != 200 || body != "again" {
			return false // both hedges have gone to the other one
		}
		return first.Load() == 2 && other.Load() == 1
	})
}

// knowsNames has the addresses of a host known before a call needs them.
func (w *testProxy) knowsNames(host string) {
	w.t.Helper()
	of := w.store.PodRoutes(pod)
	r, err := of.Route(&of.Candidates(w.original)[0], []byte(host), w.original)
	if err != nil {
		w.t.Fatal(err)
	}
	r.FindAddresses(w.t.Context())
}
