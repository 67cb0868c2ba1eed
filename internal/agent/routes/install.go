package routes

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Reason says why a profile cannot be applied.
type Reason string

// The reasons to refuse a profile.
const (
	// ReasonInvalid: the profile contradicts itself or holds something that cannot be compiled.
	ReasonInvalid Reason = "Invalid"
)

// Rejection names a profile that cannot be applied (rule 35).
type Rejection struct {
	Profile string
	Reason  Reason
	Message string
}

// version is one complete set of policies.
type version struct {
	tables map[string]*PodRoutes // by pod UID
}

// Install puts a snapshot in force, or changes nothing and returns every profile that cannot be applied. Calls in flight go on under the version they began with (rule 33). What did not
// change keeps its state, and is not touched.
//
// Clusters and pools are brought up to date first, so that no call of the new version finds one as it was; then the version is
// published; what no pod can use any more goes last. What a change of a destination's hosts costs does not grow with the pods, and no
// pool is touched by it. Calls that need something resolved meanwhile wait for moments only, whatever the number of pods.
func (s *Table) Install(from *policy.Snapshot) []Rejection {
	next := &installation{Snapshot: from, at: policy.Location{Node: s.node, Zone: from.Zone()}}
	s.installing.Lock()
	defer s.installing.Unlock()
	s.installs++
	profiles, rejected := s.compile(next)
	signer, err := s.issuerOf(from)
	if err != nil {
		rejected = append(rejected, rejectIssuer(from, rejected, err)...)
	}
	if len(rejected) > 0 {
		return rejected
	}
	old := s.current.Load()
	v := s.compose(next, profiles, old)
	s.profiles = profiles
	s.setIssuer(signer, time.Now())
	s.replace(old, v)
	return nil
}

// installation is a snapshot that is being installed, and where its pods are.
type installation struct {
	*policy.Snapshot
	at policy.Location
	// endpoints are those of Services' ports that the node uses, as far as they have been worked out: bindings share them.
	endpoints map[*policy.DestinationPort][]netip.AddrPort
}

// usable returns the endpoints of a Service's port that the node uses, which must not be changed.
func (n *installation) usable(d *policy.Destination, port *policy.DestinationPort) []netip.AddrPort {
	list, known := n.endpoints[port]
	if !known {
		if n.endpoints == nil {
			n.endpoints = map[*policy.DestinationPort][]netip.AddrPort{}
		}
		list = d.Usable(port, n.at)
		n.endpoints[port] = list
	}
	return list
}

// compose makes a version of compiled profiles. Pods whose profile is the one they had, and who call as they did, keep their routes.
func (s *Table) compose(next *installation, profiles map[string]*profile, old *version) *version {
	v := &version{tables: make(map[string]*PodRoutes, len(next.Workloads))}
	for uid, w := range next.Workloads {
		p := profiles[w.Profile]
		if p == nil {
			continue
		}
		t, caller := old.tables[uid], w.Caller()
		if t == nil || t.profile != p || t.caller != caller {
			t = &PodRoutes{pod: uid, caller: caller, profile: p, table: s}
		}
		v.tables[uid] = t
	}
	return v
}

func (s *Table) compile(next *installation) (map[string]*profile, []Rejection) {
	profiles := make(map[string]*profile, len(next.Profiles))
	var rejected []Rejection
	for name, source := range next.Profiles {
		old := s.profiles[name]
		if old != nil && old.current(source, next) {
			profiles[name] = old
			continue
		}
		p, err := s.compileProfile(source, old, next)
		switch {
		case err != nil:
			rejected = append(rejected, Rejection{Profile: name, Reason: ReasonInvalid, Message: err.Error()})
			continue
		case old != nil && old.source == source: // only its destinations have changed
			p.born = old.born
		default:
			p.born = s.installs
		}
		profiles[name] = p
	}
	slices.SortFunc(rejected, func(a, b Rejection) int { return cmp.Compare(a.Profile, b.Profile) })
	return profiles, rejected
}
