package routes

import (
	"cmp"
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/agent/upstream"
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

// replace puts v in the place of old.
func (s *Table) replace(old, v *version) {
	before, after := s.bindings, s.bindings
	if ranked := rank(v.tables); !slices.Equal(ranked, s.ranked) {
		s.ranked, after = ranked, byKey(ranked)
	}
	var changed []string // keys
	for key, of := range after {
		if !slices.Equal(before[key], of) {
			changed = append(changed, key)
		}
	}
	s.startLate()
	for _, key := range changed {
		s.updateClusters(key, after[key])
	}
	unused := s.prepare(old, v)
	unused = append(unused, s.publish(v, after)...)
	for _, key := range changed {
		s.reconfigureStates(key, after[key])
	}
	s.free(unused, after)
}

// startLate has entries noted that are made until publish.
func (s *Table) startLate() {
	s.mu.Lock()
	s.late = &[]*entry{}
	s.mu.Unlock()
}

// updateClusters brings the hosts of a key's destinations up to date, for all pods at once.
func (s *Table) updateClusters(key string, of versions) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.states.all[key]))
	s.mu.Unlock()
	for _, st := range all {
		st.cluster.Update(of.hosts(st.key.destination))
	}
}

// prepare puts the limits of pods whose routes are replaced in force, and returns what they cannot use any more.
func (s *Table) prepare(old, v *version) (unused []*entry) {
	for uid, t := range old.tables {
		if v.tables[uid] == t {
			continue
		}
		for _, e := range s.entriesOf(uid) {
			if !v.configure(e) {
				unused = append(unused, e)
			}
		}
	}
	return unused
}

func (s *Table) entriesOf(pod string) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.entries.pods[pod]
	if p == nil {
		return nil
	}
	all := make([]*entry, 0, len(p.all))
	for _, e := range p.all {
		all = append(all, e)
	}
	return all
}

// configure puts the limits of a pool in force. It reports false when nothing of the version can use it.
func (v *version) configure(e *entry) bool {
	t := v.tables[e.pod]
	if t == nil {
		return false
	}
	b := t.profile.byKey[e.key.binding]
	if b == nil {
		return false
	}
	if e.binding == b {
		return true
	}
	if is := b.base.values.Pool; e.binding.base.values.Pool != is {
		e.pool.Reconfigure(is)
	}
	e.binding = b
	return true
}

// publish puts the version in force, and sees to what was made for the one before since prepare looked.
func (s *Table) publish(v *version, bindings map[string]versions) (unused []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range *s.late {
		if !v.configure(e) {
			unused = append(unused, e)
			continue
		}
		e.state.cluster.Update(bindings[e.key.binding].hosts(e.key.destination))
	}
	s.late, s.bindings = nil, bindings
	s.current.Store(v)
	s.version.Add(1)
	return unused
}

func (s *Table) reconfigureStates(key string, of versions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.states.all[key] {
		st.reconfigure(of)
	}
}

// free drops what no pod can use any more.
func (s *Table) free(unused []*entry, bindings map[string]versions) {
	pools := make([]*upstream.Pool, 0, len(unused))
	s.mu.Lock()
	for _, e := range unused {
		dynamic := e.place != nil
		if p := s.drop(e); p != nil {
			pools = append(pools, p)
		}
		if dynamic {
			s.states.left(e.state)
		}
	}
	for key, all := range s.states.all {
		if bindings[key] != nil {
			continue
		}
		for _, st := range all {
			s.states.forget(st)
		}
	}
	s.mu.Unlock()
	for _, p := range pools {
		p.Close()
	}
}
