package distribute

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// issuerRef names the key pair with which agents sign what they show to pods. Each node has one of its own; all else that is distributed is
// the same on every node that has it.
var issuerRef = wire.Ref{Kind: wire.KeyPair, Name: policy.IssuerName}

// IssuerDemand is a node that needs an issuer.
type IssuerDemand struct {
	Node string
	// Hosts are those whose TLS the node's pods have intercepted, as policies name them, sorted.
	Hosts []string
}

// IssuerDemands returns the nodes that need an issuer, sorted.
func (s *Store) IssuerDemands() []IssuerDemand {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.dependencies[issuerRef]
	if d == nil {
		return nil
	}
	out := make([]IssuerDemand, 0, len(d.nodes))
	for name, n := range d.nodes {
		hosts := map[string]struct{}{}
		for _, u := range n.profiles {
			for _, h := range u.profile.hosts {
				hosts[h] = struct{}{}
			}
		}
		out = append(out, IssuerDemand{Node: name, Hosts: slices.Sorted(maps.Keys(hosts))})
	}
	slices.SortFunc(out, func(a, b IssuerDemand) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// OnIssuersWanted has f called when what IssuerDemands returns may have changed. f must not block or call the store. It belongs before the
// first publication.
func (s *Store) OnIssuersWanted(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantIssuers = f
}

// SetIssuers gives nodes their issuers. Nodes that do not need one any more get none.
func (s *Store) SetIssuers(byNode map[string]*policy.KeyPair) error {
	encoded := map[string]*wire.Resource{}
	var errs []error
	for name, pair := range byNode {
		r, err := wire.StandardEncoder().KeyPair(pair)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		encoded[name] = r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.pending = publication{update: map[*node]struct{}{}}
	for name, r := range encoded {
		n := s.nodes[name]
		if n == nil || n.dependencies[issuerRef] == 0 || n.issuer != nil && n.issuer.Version == r.Version {
			continue
		}
		n.issuer = r
		s.markDirty(n, issuerRef)
		s.pending.update[n] = struct{}{}
	}
	s.finishPublication()
	return errors.Join(errs...)
}
