package routes

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// interceptedHost is a binding whose pods' TLS ends at the agent, with an authority to verify its host with.
func interceptedHost(a *tlstest.Authority) (policy.Binding, *policy.Snapshot) {
	b := binding("k", policy.Target{
		Kind: policy.TargetHost, Host: "*.example", Ports: []uint16{443}, Protocol: policy.ProtocolHTTP,
		TLS: policy.TLS{Mode: policy.TLSIntercept, Roots: "ca", Issuer: policy.IssuerName, PassAfter: 2},
	})
	snap := snapshot(b)
	snap.Roots = map[string]*policy.Roots{"ca": {Name: "ca", Certificates: [][]byte{a.Root().Raw}}}
	return b, snap
}

// interceptedRoute resolves a route of pod "a" for a name whose TLS ends here.
func interceptedRoute(t *testing.T, s *Table, name string) *Route {
	t.Helper()
	return interceptedRouteOf(t, s, "a", name)
}

func interceptedRouteOf(t *testing.T, s *Table, pod, name string) *Route {
	t.Helper()
	of := s.PodRoutes(pod)
	c := of.Candidates(addr("203.0.113.1:443"))[0]
	secured := c.Intercepted()
	r, err := of.Route(&secured, []byte(name), addr("203.0.113.1:443"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What pods send over TLS and in the clear to one host has no pool, breaker or route in common; only the former is secured.
func TestInterceptedRoutesAreApart(t *testing.T) {
	s := newTable(t)
	b, snap := interceptedHost(tlstest.New(t))
	b.Base.Breaker = opensAfter(1).Base.Breaker
	snap.Profiles["p"].Bindings[0] = b
	install(t, s, snap)
	of := s.PodRoutes("a")
	c := of.Candidates(addr("203.0.113.1:443"))[0]
	plain, err := of.Route(&c, []byte("a.example"), addr("203.0.113.1:443"))
	if err != nil {
		t.Fatal(err)
	}
	secured := interceptedRoute(t, s, "a.example")
	if plain == secured || plain.Pool == secured.Pool || plain.Secured() || !secured.Secured() {
		t.Error("they share something")
	}
	if secured.entry.state.security == nil || plain.entry.state.security != nil {
		t.Error("the wrong one is secured")
	}
	if secured.Plan(nil, nil).Breaker == plain.Plan(nil, nil).Breaker {
		t.Error("they share a breaker")
	}
	if again := interceptedRoute(t, s, "a.example"); again != secured {
		t.Error("a route is resolved twice")
	}
	snap.Profiles = map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{b}}}
	snap.Profiles["p"].Bindings[0].Base.Retry.MaxRetries = 1
	install(t, s, snap)
	if after := interceptedRoute(t, s, "a.example"); after.Pool != secured.Pool || after.entry.state.security != secured.entry.state.security {
		t.Error("an edit that does not concern TLS has changed it")
	}
}

// What is intercepted never goes out in the clear, whichever versions of a policy are in force.
func TestInterceptedRoutesAreNeverPlain(t *testing.T) {
	intercepts := &Binding{source: &policy.Binding{To: policy.Target{TLS: policy.TLS{Mode: policy.TLSIntercept, Roots: "ca"}}}}
	if err := intercepts.secure(material{}, nil); err != nil {
		t.Fatal(err)
	}
	passes := &Binding{source: &policy.Binding{}}
	k := stateKey{binding: "k", destination: "a.example:443", way: upstream.Way{Intercepted: true}}
	for name, of := range map[string]versions{"one": {intercepts}, "the older": {passes, intercepts}, "none": {passes}} {
		if of.security(nil, k, nil) == nil {
			t.Errorf("%s of the versions intercepts, and it goes out in the clear", name)
		}
		k := stateKey{binding: "k", destination: "a.example:80"}
		if of.security(nil, k, nil) != nil {
			t.Errorf("%s of the versions intercepts, and what is in the clear is secured", name)
		}
	}
	now := versions{intercepts}.security(nil, k, nil)
	if (versions{passes}).security(now, k, nil) != now {
		t.Error("connections of before are secured in another way")
	}
}

// A new issuer does not disturb connections to hosts: nothing of a binding is made anew for it.
func TestANewIssuerDisturbsNoPool(t *testing.T) {
	a := tlstest.New(t)
	s := newTable(t)
	_, snap := interceptedHost(a)
	issue := func() {
		c := a.Issuer(nil)
		next := *snap
		next.KeyPairs = map[string]*policy.KeyPair{policy.IssuerName: {Name: policy.IssuerName, Chain: c.Certificate, Key: tlstest.Key(t, c)}}
		install(t, s, &next)
	}
	issue()
	r := interceptedRoute(t, s, "a.example")
	config, err := r.ServerConfig("a.example", tlslayer.HTTP1, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	of := s.PodRoutes("a")
	issue()
	if s.PodRoutes("a") != of || interceptedRoute(t, s, "a.example") != r {
		t.Error("policies were compiled again")
	}
	if next, err := r.ServerConfig("a.example", tlslayer.HTTP1, time.Now()); err != nil || next == config {
		t.Errorf("the issuer is the one before, %v", err)
	}
	s.Install(snap)
	if _, err := r.ServerConfig("a.example", tlslayer.HTTP1, time.Now()); err == nil {
		t.Error("an issuer that was taken away is used")
	}
}

// A pod that is shown certificates for many names does not have those that others are shown forgotten.
func TestPodsForgetTheirOwnCertificates(t *testing.T) {
	a := tlstest.New(t)
	s := newTable(t)
	_, snap := interceptedHost(a)
	c := a.Issuer(nil)
	snap.KeyPairs = map[string]*policy.KeyPair{policy.IssuerName: {Name: policy.IssuerName, Chain: c.Certificate, Key: tlstest.Key(t, c)}}
	install(t, s, snap)
	config := func(pod, name string) *tls.Config {
		got, err := interceptedRouteOf(t, s, pod, "a.example").ServerConfig(name, tlslayer.HTTP1, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	of := config("a", "a.example")
	for n := range 1100 { // more than are kept
		config("b", fmt.Sprintf("b%d.example", n))
	}
	if config("a", "a.example") != of {
		t.Error("that of another pod was forgotten")
	}
}

// A request shows that connections which were closed unused at about the same time were no distrust; and nothing of those of long before or after.
func TestRequestsShowThatUnusedConnectionsAreNoDistrust(t *testing.T) {
	const within = time.Second
	start := time.Now()
	for name, tc := range map[string]struct {
		request, closed time.Duration // when they come; the connection that is closed has been open since a little before
		distrust        int
	}{
		"at once":         {0, 0, 0},
		"just before":     {-within / 2, 0, 0},
		"just behind":     {within / 2, 0, 0},
		"long before":     {-2 * within, 0, 1},
		"long behind":     {2 * within, 0, 1},
		"before, an hour": {-time.Hour, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTable(t)
			_, snap := interceptedHost(tlstest.New(t))
			install(t, s, snap)
			r := interceptedRoute(t, s, "a.example")
			now := start.Add(time.Hour)
			request := func() { r.HandshakeEnded(HandshakeDone, now.Add(tc.request)) }
			if tc.request <= tc.closed {
				request()
			}
			r.ClosedUnused(now.Add(tc.closed-time.Millisecond), now.Add(tc.closed), within)
			if tc.request > tc.closed {
				request()
			}
			if d := s.Distrusts(now.Add(within)); len(d) != tc.distrust {
				t.Errorf("it is said that %+v", d)
			}
		})
	}
}

// Distrust is kept for each pod and host, and forgotten with the pod.
func TestDistrustIsOfOnePodAtOneHost(t *testing.T) {
	s := newTable(t)
	_, snap := interceptedHost(tlstest.New(t))
	install(t, s, snap)
	r, other := interceptedRoute(t, s, "a.example"), interceptedRoute(t, s, "b.example")
	now := time.Now()
	for range 2 {
		r.HandshakeEnded(HandshakeDistrusted, now)
	}
	if r.Intercepting() || !other.Intercepting() {
		t.Error("it concerns another host too, or not this one")
	}
	if d := s.Distrusts(now); len(d) != 1 || d[0].Host != "a.example" || d[0].Ended != 2 || !d[0].Spared {
		t.Errorf("it is said that %+v", d)
	}
	if d := s.Distrusts(now.Add(distrustFor)); len(d) != 0 {
		t.Errorf("after a while it is said that %+v", d)
	}
	r.HandshakeEnded(HandshakeSpared, now.Add(distrustFor-1))
	if d := s.Distrusts(now.Add(distrustFor)); len(d) != 1 {
		t.Error("what still happens is not said any more")
	}
	r.HandshakeEnded(HandshakeDone, now)
	if !r.Intercepting() {
		t.Error("a handshake that was accepted is forgotten")
	}
	delete(snap.Workloads, "a")
	install(t, s, snap)
	if d := s.Distrusts(now); len(d) != 0 {
		t.Errorf("of a pod that is gone it is said that %+v", d)
	}
}
