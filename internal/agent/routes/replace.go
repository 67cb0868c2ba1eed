package routes

import (
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/upstream"
)

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
	all := s.configureStates(key, of)
	for _, st := range all {
		st.cluster.Update(of.hosts(st.key.destination))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range all {
		st.setMembers()
	}
}

// configureStates has the states of a key's destinations go by other versions, and returns them.
func (s *Table) configureStates(key string, of versions) []*state {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.DeleteFunc(slices.Collect(maps.Values(s.states.all[key])), func(st *state) bool { return st.key.shadow })
	for _, st := range all {
		st.configure(of)
	}
	return all
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
	if b == nil || !b.knows(e.key.destination) || !b.leads(e.key.way) {
		return false
	}
	if e.binding == b {
		return true
	}
	if is := b.base.values.Pool; e.binding.base.values.Pool != is {
		e.pool.Reconfigure(is)
	}
	e.connect()
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
		of := bindings[e.key.binding]
		e.state.cluster.Update(of.hosts(e.key.destination))
		e.state.setMembers()
		e.state.configure(of)
		e.connect()
	}
	s.late, s.bindings = nil, bindings
	s.current.Store(v)
	s.affinities.retain(v, time.Now())
	s.version.Add(1)
	return unused
}

// reconfigureStates puts the breakers and budgets of a key in force. No call will go the way of states that are forgotten; where TLS ends at the
// agent, connections of before may ask for theirs.
func (s *Table) reconfigureStates(key string, of versions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.states.all[key] {
		if !st.follow(of) {
			s.states.forget(st)
		}
	}
}

// free drops what no pod can use any more.
func (s *Table) free(unused []*entry, bindings map[string]versions) {
	for _, p := range s.dropAll(unused, bindings) {
		p.Close()
	}
}

// dropAll forgets entries, and states of bindings that are no more, and returns the pools to be closed.
func (s *Table) dropAll(unused []*entry, bindings map[string]versions) []*upstream.Pool {
	pools := make([]*upstream.Pool, 0, len(unused))
	s.mu.Lock()
	defer s.mu.Unlock()
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
	return pools
}
