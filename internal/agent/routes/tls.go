package routes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// material is what a binding's target refers to, as the snapshot has it; nil: nothing, or it is not known. It can be compared.
type material struct {
	roots       *policy.Roots
	pair        *policy.KeyPair
	credentials *policy.Credentials
}

// material returns what a target refers to.
func (n *installation) material(to *policy.Target) material {
	return material{roots: n.Roots[to.TLS.Roots], pair: n.KeyPairs[to.TLS.Certificate], credentials: n.Credentials[to.Via.Credentials]}
}

// securesAs reports whether both make the same of TLS.
func (m material) securesAs(o material) bool { return m.roots == o.roots && m.pair == o.pair }

// client returns who the agent is to the hosts of a target that it speaks TLS to; nil: it does not.
func (m material) client(t *policy.TLS) (*tlslayer.Client, error) {
	switch {
	case !t.Originates():
		return nil, nil
	case t.Roots != "" && m.roots == nil:
		return tlslayer.Unable(tlslayer.NoRoots), nil
	case t.Certificate != "" && m.pair == nil:
		return tlslayer.Unable(tlslayer.NoKeyPair), nil
	}
	roots, err := tlslayer.SystemRoots()
	if m.roots != nil {
		roots, err = tlslayer.ParseRoots(m.roots.Certificates)
	}
	if err != nil {
		return nil, fmt.Errorf("trusted certificates %s: %w", t.Roots, err)
	}
	if m.pair == nil {
		return tlslayer.NewClient(roots, nil)
	}
	certificate, err := tlslayer.ParseKeyPair(m.pair.Chain, m.pair.Key)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", t.Certificate, err)
	}
	return tlslayer.NewClient(roots, certificate)
}

// secure gives the binding its client: the one that old has, with the sessions of its servers, if nothing of it has changed.
func (b *Binding) secure(m material, old *Binding) (err error) {
	b.material = m
	if old != nil && old.material.securesAs(m) && old.source.To.TLS == b.source.To.TLS {
		b.client = old.client
		return nil
	}
	b.client, err = m.client(&b.source.To.TLS)
	return err
}

// Originates reports whether the agent speaks TLS to the binding's hosts, while pods speak in the clear.
func (b *Binding) Originates() bool { return b.source.To.TLS.Mode == policy.TLSOriginate }

// Secured reports whether the agent speaks TLS to the host of the route.
func (r *Route) Secured() bool { return r.entry.key.way.Secured() }

// way is how calls of the candidate get to its hosts.
func (c *Candidate) way() upstream.Way {
	if c.intercepted {
		return upstream.Way{Intercepted: true}
	}
	return c.Binding.way()
}

// way is how calls that pods make in the clear get to the binding's hosts.
func (b *Binding) way() upstream.Way {
	return upstream.Way{Originated: b.Originates(), Port: b.source.To.TLS.Port}
}

// leads reports whether calls under the binding may go that way.
func (b *Binding) leads(w upstream.Way) bool {
	if w.Intercepted {
		return b.Intercepts()
	}
	return b.way() == w
}

// leads reports whether calls under one of the versions may go that way.
func (v versions) leads(w upstream.Way) bool {
	return slices.ContainsFunc(v, func(b *Binding) bool { return b.leads(w) })
}

// Connects returns the address that is connected to for a call to an address.
func (b *Binding) Connects(original netip.AddrPort) netip.AddrPort {
	if port := b.source.To.TLS.Port; port != 0 {
		return netip.AddrPortFrom(original.Addr(), port)
	}
	return original
}

// server is how connections to a destination of a binding are secured. A destination keeps it as long as the client stays the same.
type server struct {
	*tlslayer.Server
	// spoken is the destination's.
	spoken *spoken
}

// Handshake implements upstream.Security.
func (s server) Handshake(c *transport.Conn, carries upstream.Carries) (err error) {
	switch carries {
	case upstream.Many:
		err = s.Server.Handshake(c, tlslayer.HTTP2)
	case upstream.Either:
		err = s.Server.Handshake(c, tlslayer.HTTP2, tlslayer.HTTP1)
	case upstream.OneByOne:
		err = s.Server.Handshake(c, tlslayer.HTTP1)
	}
	s.spoken.shaken(carries, c.Info().ALPN, err, time.Now())
	return err
}

// security returns how the newest version that has calls go the way of a destination has connections secured, given how they are.
func (v versions) security(now upstream.Security, k stateKey, spoken *spoken) upstream.Security {
	if !k.way.Secured() {
		return nil
	}
	i := slices.IndexFunc(v, func(b *Binding) bool { return b.leads(k.way) })
	switch {
	case i < 0 && now != nil: // for calls of before
		return now
	case i < 0: // whatever has happened, not in the clear
		return server{tlslayer.Unable(tlslayer.NoRoots).Server(""), spoken}
	}
	b := v[i]
	if s, ok := now.(server); ok && s.Client() == b.client {
		return now
	}
	name := b.source.To.TLS.ServerName
	if name == "" {
		name = hostOf(k.destination)
	}
	return server{b.client.Server(name), spoken}
}

// hostOf returns the host of a destination as hostDestination writes it.
func hostOf(destination string) string {
	return destination[:max(strings.LastIndexByte(destination, ':'), 0)]
}
