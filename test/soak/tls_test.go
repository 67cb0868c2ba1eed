package soak

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// In some rounds the destination is a host that speaks TLS: with pods' calls in the clear (Originate), or with the pods' own TLS ended at the agent (Intercept).
// The host has one address, behind which its endpoints are called in turn.

const host = "up.shop"

// trust is who has signed what in a round; nil where nobody speaks TLS.
type trust struct {
	mode          policy.TLSMode
	hosts, egress *tlstest.Authority
	server        *tls.Certificate
	issuer        *policy.KeyPair
}

// drawTrust draws whether a round is one of TLS. Breakers of single endpoints are about endpoints that the agent
// chooses from, and what is passed through is not looked at.
func drawTrust(t *testing.T, rng *rand.Rand, k kind) *trust {
	t.Helper()
	mode := oneOf(rng, policy.TLSPassthrough, policy.TLSPassthrough, policy.TLSOriginate, policy.TLSIntercept)
	if mode == policy.TLSPassthrough || k == kindEndpoints || k == kindOpaque {
		return nil
	}
	s := &trust{mode: mode, hosts: tlstest.New(t), egress: tlstest.New(t)}
	s.server = s.hosts.Issue(nil, host)
	c := s.egress.Issuer(nil)
	s.issuer = &policy.KeyPair{Name: policy.IssuerName, Chain: c.Certificate, Key: tlstest.Key(t, c)}
	return s
}

// intercepts reports whether pods speak TLS. s may be nil.
func (s *trust) intercepts() bool { return s != nil && s.mode == policy.TLSIntercept }

// original is the address that pods call.
func (s *trust) original() netip.AddrPort {
	if s.intercepts() {
		return netip.AddrPortFrom(original.Addr(), 443)
	}
	return original
}

// target is the destination of the policy, if it is a host.
func (s *trust) target() policy.Target {
	return policy.Target{
		Kind: policy.TargetHost, Host: host, Protocol: policy.ProtocolAuto, Ports: []uint16{s.original().Port()},
		TLS: policy.TLS{Mode: s.mode, Roots: "ca", Issuer: policy.IssuerName},
	}
}

// add adds to a snapshot what its bindings refer to.
func (s *trust) add(to *policy.Snapshot) {
	if s == nil {
		return
	}
	to.Roots = map[string]*policy.Roots{"ca": {Name: "ca", Certificates: [][]byte{s.hosts.Root().Raw}}}
	to.KeyPairs = map[string]*policy.KeyPair{s.issuer.Name: s.issuer}
	bindings := to.Profiles["p"].Bindings
	for i := range bindings {
		bindings[i].To = s.target()
	}
}

// brittle is the connection under TLS, if there is any.
func brittle(c net.Conn) *brittleConn {
	if t, secured := c.(*tls.Conn); secured {
		c = t.NetConn()
	}
	return c.(*brittleConn)
}
