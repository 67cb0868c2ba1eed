package routes

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// Reason says why a profile cannot be applied.
type Reason string

// The reasons to refuse a profile.
const (
	// ReasonInvalid: the profile contradicts itself or holds something that cannot be compiled.
	ReasonInvalid Reason = "Invalid"
)

// Rejection names a profile that is not applied; the version before it stays in force (rule 35).
type Rejection struct {
	Profile string
	Reason  Reason
	Message string
}

// version is one complete set of policies.
type version struct {
	tables map[string]*PodRoutes // by pod UID
}

// Install puts a snapshot in force. Calls in flight go on under the version they began with (rule 33). What did not
// change keeps its state, and is not touched.
//
// Clusters and pools are brought up to date first, so that no call of the new version finds one as it was; then the version is
// published; what no pod can use any more goes last. What a change of a destination's hosts costs does not grow with the pods, and no
// pool is touched by it. Calls that need something resolved meanwhile wait for moments only, whatever the number of pods.
func (s *Table) Install(next *policy.Snapshot) []Rejection {
	s.installing.Lock()
	defer s.installing.Unlock()
	s.installs++
	profiles, rejected := s.compile(next)
	old := s.current.Load()
	v := s.compose(next, profiles, old)
	s.profiles = profiles
	s.replace(old, v)
	return rejected
}

// compose makes a version of compiled profiles. Pods whose profile is the one they had keep their routes.
func (s *Table) compose(next *policy.Snapshot, profiles map[string]*profile, old *version) *version {
	v := &version{tables: make(map[string]*PodRoutes, len(next.Workloads))}
	for uid, w := range next.Workloads {
		p := profiles[w.Profile]
		if p == nil {
			continue
		}
		t := old.tables[uid]
		if t == nil || t.profile != p {
			t = &PodRoutes{pod: uid, profile: p, table: s}
		}
		v.tables[uid] = t
	}
	return v
}

func (s *Table) compile(next *policy.Snapshot) (map[string]*profile, []Rejection) {
	profiles := make(map[string]*profile, len(next.Profiles))
	var rejected []Rejection
	for name, source := range next.Profiles {
		old := s.profiles[name]
		if old != nil && old.current(source, next.Destinations) {
			profiles[name] = old
			continue
		}
		p, err := compileProfile(source, old, next.Destinations, s.observer)
		switch {
		case err != nil:
			rejected = append(rejected, Rejection{Profile: name, Reason: ReasonInvalid, Message: err.Error()})
			p = old
		case old != nil && old.source == source: // only its destinations have changed
			p.born = old.born
		default:
			p.born = s.installs
		}
		if p != nil {
			profiles[name] = p
		}
	}
	slices.SortFunc(rejected, func(a, b Rejection) int { return cmp.Compare(a.Profile, b.Profile) })
	return profiles, rejected
}
