package routes

import (
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// namedHost is a policy of a host, with a breaker, that says this of TLS.
func namedHost(a *tlstest.Authority, of policy.TLS) *policy.Snapshot {
	b := opensAfter(1)
	b.Key, b.To = "k", policy.Target{Kind: policy.TargetHost, Host: "host.example", Protocol: policy.ProtocolHTTP, TLS: of}
	snap := snapshot(b)
	snap.Roots = map[string]*policy.Roots{"ca": {Name: "ca", Certificates: [][]byte{a.Root().Raw}}}
	return snap
}

// A policy comes to say otherwise of TLS. What calls of before have stays as it was and is closed, for they go on with it; those that come
// have their own, and nothing else is kept.
func TestRule33_AnEditOfTLSChangesNothingForCallsOfBefore(t *testing.T) {
	a := tlstest.New(t)
	plain := policy.TLS{}
	on := func(port uint16) policy.TLS {
		return policy.TLS{Mode: policy.TLSOriginate, Roots: "ca", Port: port}
	}
	for name, tc := range map[string]struct{ before, after policy.TLS }{
		"TLS, then plain": {on(443), plain},
		"plain, then TLS": {plain, on(443)},
		"another port":    {on(443), on(8443)},
		"no port":         {on(443), on(0)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTable(t)
			install(t, s, namedHost(a, tc.before))
			old := routeTo(t, s, "a", "203.0.113.1:80")
			trip(t, old)
			security := old.entry.state.security
			install(t, s, namedHost(a, tc.after))
			next := routeTo(t, s, "a", "203.0.113.1:80")
			if next == old || next.Pool == old.Pool || !old.Stale() || stateOf(next) != resilience.Closed {
				t.Error("they share something")
			}
			if got := old.entry.state.security; got != security || (got != nil) != (tc.before != plain) || old.Secured() != (got != nil) {
				t.Errorf("calls of before are secured by %v, before it was %v", got, security)
			}
			if got := next.entry.state.security; (got != nil) != (tc.after != plain) || next.Secured() != (got != nil) {
				t.Errorf("calls that come are secured by %v", got)
			}
			if again := routeTo(t, s, "a", "203.0.113.1:80"); again != next {
				t.Error("a route is resolved twice")
			}
			onlyPool(t, s, next)
			if n := len(s.states.all["k"]) + s.states.unused.Len(); n != 1 {
				t.Errorf("%d states are kept", n)
			}
		})
	}
}

// onlyPool fails the test unless there is one pool, the route's.
func onlyPool(t *testing.T, s *Table, r *Route) {
	t.Helper()
	n := 0
	s.pools.Each(func(upstream.Key, upstream.Stats) { n++ })
	if p := s.pools.Remove(s.poolKey(r.entry)); n != 1 || p != r.Pool {
		t.Errorf("%d pools are kept, the route's among them: %v", n, p == r.Pool)
	}
}

// A pod calls a host while the policy is being edited, after pods' pools were looked at and before the edit is in force. It is a call of before.
func TestRule33_ACallDuringAnEditOfTLSGoesAsBefore(t *testing.T) {
	a := tlstest.New(t)
	s := newTable(t)
	originate := policy.TLS{Mode: policy.TLSOriginate, Roots: "ca", Port: 443}
	install(t, s, namedHost(a, originate))
	next := &installation{Snapshot: namedHost(a, policy.TLS{})}
	profiles, rejected := s.compile(next)
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	old := s.current.Load()
	v := s.compose(next, profiles, old)
	after := byKey(rank(v.tables))
	s.startLate()
	s.updateClusters("k", after["k"])
	unused := s.prepare(old, v)
	during := routeTo(t, s, "a", "203.0.113.1:80")
	unused = append(unused, s.publish(v, after)...)
	if len(unused) != 1 || unused[0] != during.entry || during.entry.state.security == nil || !during.Secured() {
		t.Errorf("%d are not used any more; secured by %v", len(unused), during.entry.state.security)
	}
	r := routeTo(t, s, "a", "203.0.113.1:80")
	if r.Pool == during.Pool || r.Secured() || r.entry.state.security != nil {
		t.Error("the call after it is one of before")
	}
	s.reconfigureStates("k", after["k"])
	s.free(unused, after)
	if again := routeTo(t, s, "a", "203.0.113.1:80"); again != r {
		t.Error("what is of before takes what is in force with it")
	}
	onlyPool(t, s, r)
}

// Calls go on resolving while TLS comes and goes. Each is secured if its own version says so, and nothing is left of the versions before.
func TestRule33_CallsAreSecuredAsTheirVersionSaysWhateverIsEditedMeanwhile(t *testing.T) {
	a := tlstest.New(t)
	s := newTable(t)
	versions := []*policy.Snapshot{namedHost(a, policy.TLS{}), namedHost(a, policy.TLS{Mode: policy.TLSOriginate, Roots: "ca", Port: 443})}
	install(t, s, versions[0])
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, pod := range []string{"a", "a", "b"} {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r := routeTo(t, s, pod, "203.0.113.1:80")
				s.mu.Lock()
				secured := r.entry.state.security != nil
				s.mu.Unlock()
				if secured != r.Originates() {
					t.Errorf("secured: %v, and its version says %v", secured, r.Originates())
					return
				}
			}
		})
	}
	for i := range 200 {
		install(t, s, versions[i%2])
	}
	close(done)
	wg.Wait()
	for _, pod := range []string{"a", "b"} {
		routeTo(t, s, pod, "203.0.113.1:80")
	}
	pools := 0
	s.pools.Each(func(upstream.Key, upstream.Stats) { pools++ })
	if n := len(s.states.all["k"]) + s.states.unused.Len(); pools != 2 || n != 1 {
		t.Errorf("%d pools and %d states are kept", pools, n)
	}
}

// Two versions of a binding may be in force: each pod's calls go as its own version says.
func TestVersionsThatDifferInTLSAreApart(t *testing.T) {
	secured := &Binding{source: &policy.Binding{To: policy.Target{TLS: policy.TLS{Mode: policy.TLSOriginate, Roots: "ca"}}}}
	if err := secured.secure(material{}, nil); err != nil {
		t.Fatal(err)
	}
	plain := &Binding{source: &policy.Binding{}}
	way := upstream.Way{Originated: true}
	for name, of := range map[string]versions{"the newer": {secured, plain}, "the older": {plain, secured}, "none": {plain}} {
		if of.security(nil, stateKey{binding: "k", destination: "a.example:80", way: way}, nil) == nil {
			t.Errorf("%s originates TLS, and it goes out in the clear", name)
		}
		if of.security(nil, stateKey{binding: "k", destination: "a.example:80"}, nil) != nil {
			t.Errorf("%s originates TLS, and what goes out in the clear is secured", name)
		}
	}
}
