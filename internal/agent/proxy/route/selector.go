// Package route finds the policy that governs a connection or a request on it: by the address that the client went to, and by the
// host that the request names. It looks at requests through View, so that no protocol matters.
//
// The package must not read from connections or keep state beyond one.
package route

import (
	"bytes"
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// View is a request as far as routing looks at it, whatever its protocol.
type View interface {
	Method() []byte
	// Host is the host that the request is for, with its port if it was given; empty if there is none.
	Host() []byte
	// Target is the request's target, in any of the forms of RFC 9110 section 7.1.
	Target() []byte
	// Header returns the value of the first field with a name, given in lower case, that is forwarded and not empty.
	Header(lower string) (value []byte, ok bool)
	// AnyHeader reports whether there is a field with a name, given in lower case, that is forwarded and has a value that fits.
	AnyHeader(lower string, value interface{ Fits(text []byte) bool }) bool
}

// Origin is where a captured connection comes from and was going to, and the policies in force.
type Origin struct {
	Table    *routes.Table
	Pod      string // UID
	Original netip.AddrPort
}

// Selector selects routes for one captured connection. What it has found it keeps as long as nothing changes that it depends on.
type Selector struct {
	origin *Origin // immutable after Init

	routes     *routes.PodRoutes
	version    uint64
	candidates []routes.Candidate
	// the route used last, and what it was chosen by
	route *routes.Route
	host  []byte // as sent, or nil if the route does not depend on it
	// the name that stands for the whole connection, as NameWhole was given it
	whole string
	named bool

	// the route of a connection whose TLS ends at the agent; nil: it does not
	intercepted *routes.Route
	accepted    bool // a request has come on it
	ends        bool // see Ends
	pinned      bool // calls of route go to the address that the connection is for
	governed    bool // a policy has governed a request of this connection
	http2       bool // see SpeakHTTP2
}

// Init prepares s for a connection, and looks up the policies of its pod. The origin must not change any more.
func (s *Selector) Init(of *Origin) {
	s.origin = of
	s.refresh()
}

// refresh looks up the policies of the pod, which may have changed since the last request.
func (s *Selector) refresh() {
	s.version = s.origin.Table.Version()
	of := s.origin.Table.PodRoutes(s.origin.Pod)
	if of == s.routes && of != nil {
		return
	}
	s.routes, s.route, s.candidates = of, nil, nil
	if of != nil {
		s.candidates = of.Candidates(s.origin.Original)
	}
}

// maxHost is the longest host that is kept, a name of the DNS with a port; with longer ones the route is resolved for every request.
const maxHost = 253 + len(".:65535")

// tooLong stands for a host that is not kept; none equals it.
var tooLong = []byte{0}

// Select finds the route of a request; ok is false when no policy governs it.
func (s *Selector) Select(v View) (r *routes.Route, ok bool) {
	if s.origin.Table.Version() != s.version {
		s.refresh()
	}
	if s.route != nil && (s.host == nil || bytes.Equal(s.host, v.Host())) && !s.route.Stale() {
		return s.route, true
	}
	if s.intercepted != nil {
		return s.selectIntercepted(), true
	}
	return s.resolve(v.Host())
}

func (s *Selector) resolve(named []byte) (*routes.Route, bool) {
	s.route = nil
	var space [256]byte
	host := routes.AppendHost(space[:0], named)
	byHost := false
	for i := range s.candidates {
		c := &s.candidates[i]
		byHost = byHost || c.DependsOnHost()
		if !c.Governs(host) {
			continue
		}
		if s.leaves(c) {
			return nil, false // declared to be something else: left alone
		}
		r, err := s.routes.Route(c, host, s.origin.Original)
		if err != nil {
			return nil, false
		}
		s.route, s.pinned, s.host, s.governed = r, c.PinnedFor(host), nil, true
		switch {
		case !byHost:
		case len(named) > maxHost:
			s.host = tooLong
		default:
			s.host = append(make([]byte, 0, len(named)), named...)
		}
		return r, true
	}
	return nil, false
}

// leaves reports whether a candidate leaves requests of the connection's protocol alone, since it declares another one.
func (s *Selector) leaves(c *routes.Candidate) bool {
	return c.Opaque() || s.http2 && c.DeclaredHTTP1() || !s.http2 && c.DeclaredHTTP2()
}

// SpeakHTTP2 says that the connection's requests are those of HTTP/2, and no others.
func (s *Selector) SpeakHTTP2() { s.http2 = true }

// Selected is the route that Select found last; nil: none.
func (s *Selector) Selected() *routes.Route { return s.route }

// Pinned reports whether calls of that route go to the address that the connection is for.
func (s *Selector) Pinned() bool { return s.pinned }

// PlanFor returns what governs a request on a route.
func PlanFor(r *routes.Route, v View) *routes.Plan {
	if !r.HasRules() {
		return r.Plan(nil, nil)
	}
	q := routes.Request{Method: v.Method(), Path: routes.PathOf(v.Target()), GRPC: r.NamesGRPC() && isGRPC(v)}
	if r.LooksAtHeads() {
		q.Head = v
	}
	return r.PlanFor(&q)
}

func isGRPC(v View) bool {
	value, ok := v.Header("content-type")
	return ok && grpc.Is(value) && string(v.Method()) == "POST"
}

// Declared says what the policies that may govern a connection declare of it.
type Declared uint8

// What can be declared.
const (
	// Nothing: the protocol must be found out, since the policies leave it open or differ.
	Nothing Declared = iota
	// Ungoverned: no policy can govern it.
	Ungoverned
	// Opaque: it is not HTTP.
	Opaque
	// HTTP1: it is HTTP/1.
	HTTP1
	// HTTP2: it is HTTP/2.
	HTTP2
)

// Declared returns what is declared of the connection.
func (s *Selector) Declared() Declared {
	switch {
	case len(s.candidates) == 0:
		return Ungoverned
	case s.every((*routes.Candidate).Opaque):
		return Opaque
	case s.every((*routes.Candidate).DeclaredHTTP1):
		return HTTP1
	case s.every((*routes.Candidate).DeclaredHTTP2):
		return HTTP2
	}
	return Nothing
}

func (s *Selector) every(is func(*routes.Candidate) bool) bool {
	for i := range s.candidates {
		c := &s.candidates[i]
		if i > 0 && c.Untouched() && !s.candidates[0].Untouched() {
			return true // what is enforced decides
		}
		if !is(c) {
			return false
		}
	}
	return true
}

// MayGoThroughProxy reports whether calls of the connection may go through a proxy: then it may be that nothing else of it gets anywhere.
func (s *Selector) MayGoThroughProxy() bool {
	for i := range s.candidates {
		if s.candidates[i].ThroughProxy() {
			return true
		}
	}
	return false
}

// NeedsName reports whether it depends on the name that a connection as a whole is for, which governs it: see NameWhole.
func (s *Selector) NeedsName() bool { return len(s.candidates) > 0 && s.candidates[0].NeedsHost() }

// NameWhole says which name the connection as a whole is for, that of a TLS server, in lower case and without final dot; an empty one is none:
// no policy for a name governs it.
func (s *Selector) NameWhole(name string) { s.whole, s.named = name, true }

// WholeName is the name that NameWhole was given.
func (s *Selector) WholeName() string { return s.whole }

// Governing returns the binding that governs the connection as a whole, if one does and that is known.
func (s *Selector) Governing() *routes.Candidate {
	for i := range s.candidates {
		c := &s.candidates[i]
		switch {
		case !c.NeedsHost():
			return c
		case !s.named:
			return nil
		case s.whole != "" && c.Governs([]byte(s.whole)):
			return c
		}
	}
	return nil
}

// Whole returns the route of a connection that is governed as a whole; ok is false when it is not. pinned says that it goes to the
// address that the client chose.
func (s *Selector) Whole() (r *routes.Route, pinned, ok bool) {
	g := s.Governing()
	if g == nil {
		return nil, false, false
	}
	r, err := s.routes.Route(g, []byte(s.whole), s.origin.Original)
	return r, g.Pinned, err == nil
}

// Address returns where the connection goes if it is connected before it is known what it carries: where the client went to, unless that is
// a Service of which the pod keeps an endpoint.
func (s *Selector) Address(now time.Time) netip.AddrPort {
	if r, pinned, ok := s.Whole(); ok && !pinned {
		if kept, ok := r.Pool.KeepHost(now, s.origin.Original); ok {
			return kept
		}
	}
	return s.origin.Original
}

// Settings are those in force for the connection as a whole; nil: none.
func (s *Selector) Settings() *policy.Settings {
	if g := s.Governing(); g != nil {
		return g.Base()
	}
	return nil
}

// Governed reports whether requests of this connection are governed whatever host they name, or one was.
func (s *Selector) Governed() bool { return s.governed || s.intercepted != nil || s.governsAll() }

func (s *Selector) governsAll() bool {
	for i := range s.candidates {
		if c := &s.candidates[i]; !c.NeedsHost() {
			return !s.leaves(c)
		}
	}
	return false
}

// Governs reports whether a policy governs requests for a host.
func (s *Selector) Governs(host []byte) bool {
	name := routes.AppendHost(nil, host)
	for i := range s.candidates {
		if c := &s.candidates[i]; c.Governs(name) {
			return !s.leaves(c)
		}
	}
	return false
}
