package routes

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/intercept"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

// issuer is what certificates are made with that pods are shown, and what it was made of.
type issuer struct {
	*intercept.Issuer
	pair *policy.KeyPair
}

// issuerOf returns the issuer of a snapshot, which is the one in force if nothing of it has changed; nil: it has none.
func (s *Table) issuerOf(from *policy.Snapshot) (*issuer, error) {
	pair := from.KeyPairs[policy.IssuerName]
	now := s.issuer.Load()
	switch {
	case pair == nil:
		return nil, nil
	case now != nil && now.pair == pair:
		return now, nil
	}
	certificate, err := tlslayer.ParseKeyPair(pair.Chain, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	made, err := intercept.New(certificate)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return &issuer{made, pair}, nil
}

// setIssuer puts an issuer in force, or none. It expects that the profiles that may need it are in force too.
func (s *Table) setIssuer(i *issuer, now time.Time) {
	s.issuer.Store(i)
	lacks := false
	for _, p := range s.profiles {
		lacks = lacks || i == nil && slices.ContainsFunc(p.bindings, (*Binding).Intercepts)
	}
	switch {
	case !lacks:
		s.unissued.Store(0)
	case s.unissued.Load() == 0:
		s.unissued.Store(int64(transport.At(now)))
	}
}

// rejectIssuer refuses the profiles that need an issuer, of which those in already are.
func rejectIssuer(from *policy.Snapshot, already []Rejection, err error) (rejected []Rejection) {
	for name, p := range from.Profiles {
		known := slices.ContainsFunc(already, func(r Rejection) bool { return r.Profile == name })
		needs := slices.ContainsFunc(p.Bindings, func(b policy.Binding) bool { return b.To.TLS.Issuer != "" })
		if needs && !known {
			rejected = append(rejected, Rejection{Profile: name, Reason: ReasonInvalid, Message: err.Error()})
		}
	}
	return rejected
}

// Intercepts reports whether the agent ends the TLS of pods that call the binding's hosts, and speaks TLS of its own to these.
func (b *Binding) Intercepts() bool { return b.source.To.TLS.Mode == policy.TLSIntercept }

// Intercepted returns the candidate for a connection whose TLS ends at the agent.
func (c *Candidate) Intercepted() Candidate {
	of := *c
	of.intercepted = true
	return of
}

// Certifies reports whether the node can have a certificate for a name, for pods whose TLS it ends.
func (r *Route) Certifies(name string, now time.Time) bool {
	i := r.table.issuer.Load()
	return i != nil && i.Permits(name, now) == nil
}

// ServerConfig returns how a pod that asks for a name is served on a route that is intercepted, and spoken to by a protocol (an ALPN). It is an
// error when the node has no issuer that can make a certificate for the name.
func (r *Route) ServerConfig(name, protocol string, now time.Time) (*tls.Config, error) {
	i := r.table.issuer.Load()
	if i == nil {
		return nil, intercept.ErrExpired
	}
	return i.Config(r.entry.pod, name, protocol, now)
}
