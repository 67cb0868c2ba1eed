package route

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
)

// A connection whose TLS ends at the agent is for one name, that of the server that its client asked for and verified. So that name, and not
// what the requests inside it call their host, decides which policy governs them, where they go and for whom the server is verified.

// MeetsTLS reports whether it matters if the client speaks TLS, though the policies declare HTTP: the agent speaks TLS to the hosts of one that may
// govern the connection.
func (s *Selector) MeetsTLS() bool {
	for i := range s.candidates {
		if c := &s.candidates[i]; c.Originates() || c.Intercepts() {
			return true
		}
	}
	return false
}

// Interceptable returns the route of a connection whose TLS is to end at the agent, by the policy that governs its name (NameWhole); ok is
// false when it is not.
func (s *Selector) Interceptable() (r *routes.Route, ok bool) {
	g := s.Governing()
	if g == nil || !g.Intercepts() || len(s.whole) == 0 {
		return nil, false
	}
	c := g.Intercepted()
	r, err := s.routes.Route(&c, []byte(s.whole), s.origin.Original)
	return r, err == nil
}

// Intercept says that the connection's TLS has ended at the agent, on a route that Interceptable has returned.
func (s *Selector) Intercept(r *routes.Route) { s.intercepted, s.route = r, nil }

// selectIntercepted finds the route of requests inside a connection whose TLS ends here. Where no policy has it end here any more, those that
// come still go on as they did: in the clear they must not go on.
func (s *Selector) selectIntercepted() *routes.Route {
	if !s.accepted {
		s.accepted = true
		s.intercepted.HandshakeEnded(routes.HandshakeDone, time.Now())
	}
	g := s.Governing()
	if r, ok := s.Interceptable(); ok && !s.leaves(g) {
		s.intercepted, s.pinned, s.ends = r, g.Pinned, false
	} else {
		s.ends = true
	}
	s.route, s.host, s.governed = s.intercepted, nil, true
	return s.route
}

// Ends reports whether the connection is to end with the requests under way, since no policy would have its TLS end at the agent any more.
func (s *Selector) Ends() bool { return s.ends }
