package routes

import (
	"container/list"
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/upstream"
)

// MaxDynamicDestinations bounds what is kept of destinations that come from traffic (host names, addresses in a block, anything)
// and not from policy, counted once for every pod that calls one. Beyond it, the pod with the most of them loses the one that it
// has not used for the longest, so that a pod that goes through many addresses forgets its own alone.
const MaxDynamicDestinations = 8192

// entry is what one pod keeps about one binding at one concrete destination.
type entry struct {
	// immutable
	pod   string // UID
	key   stateKey
	state *state
	pool  *upstream.Pool
	// affinity is the pool's; nil: it has none
	affinity *affinity

	// atomic
	forgotten atomic.Bool
	used      atomic.Bool // since the last search for one to forget
	trust     trust       // of the pod, where its TLS is intercepted

	binding *Binding            // that the pool is configured by; guarded by Table.installing once the entry can be found
	shadows map[stateKey]*state // what its calls would come under, as far as that is kept; guarded by Table.mu
	place   *list.Element       // among the dynamic ones of its pod, nil if it is not dynamic; guarded by Table.mu
}

// newEntry makes an entry of a pod, not to be found yet.
func newEntry(pod string, n *entryInputs, st *state) (*entry, error) {
	o := upstream.Options{
		Cluster: st.cluster, Dialer: n.dialer, Limits: n.candidate.base.values.Pool, Security: st.security, Proxy: st.proxy,
		ByName: n.candidate.byName(),
	}
	if n.affinity != nil {
		o.Affinity = n.affinity.Affinity
	}
	pool, err := upstream.NewPool(o)
	if err != nil {
		return nil, err
	}
	return &entry{pod: pod, key: st.key, state: st, pool: pool, affinity: n.affinity, binding: n.candidate.Binding}, nil
}

// connect has the pool's connections made as the state says.
func (e *entry) connect() {
	e.pool.Secure(e.state.security)
	e.pool.GoThrough(e.state.proxy)
}

// use notes that a call goes there. It is on the path of every call, and writes only once in a while.
func (e *entry) use() {
	if !e.used.Load() {
		e.used.Store(true)
	}
}

// podEntries are those of one pod.
type podEntries struct {
	all     map[stateKey]*entry
	dynamic list.List // new ones in front; those that were used since are passed over when one is to be forgotten
	shadows int       // how many all of them have
}

// entries holds them all. It is guarded by Table.mu.
type entries struct {
	pods    map[string]*podEntries
	dynamic int
}

func (s *entries) find(pod string, k stateKey) *entry {
	if p := s.pods[pod]; p != nil {
		return p.all[k]
	}
	return nil
}

func (s *entries) add(e *entry, dynamic bool) {
	p := s.pods[e.pod]
	if p == nil {
		p = &podEntries{all: map[stateKey]*entry{}}
		s.pods[e.pod] = p
	}
	p.all[e.key] = e
	e.state.entries++
	if dynamic {
		e.place = p.dynamic.PushFront(e)
		s.dynamic++
	}
}

func (s *entries) remove(e *entry) {
	p := s.pods[e.pod]
	if p == nil || p.all[e.key] != e {
		return
	}
	e.forgotten.Store(true)
	delete(p.all, e.key)
	e.state.entries--
	if e.place != nil {
		p.dynamic.Remove(e.place)
		s.dynamic--
	}
	if len(p.all) == 0 {
		delete(s.pods, e.pod)
	}
}

// leastUsed returns the dynamic entry to be forgotten first: of the pod that has the most, and of asking's if it has as many.
// Entries that were used since the last search are passed over once, so that on average a search looks at two.
func (s *entries) leastUsed(asking string) *entry {
	most := s.pods[asking]
	for _, p := range s.pods {
		if most == nil || p.dynamic.Len() > most.dynamic.Len() {
			most = p
		}
	}
	if most == nil || most.dynamic.Len() == 0 {
		return nil
	}
	for {
		last := most.dynamic.Back()
		e := last.Value.(*entry)
		if !e.used.Swap(false) {
			return e
		}
		most.dynamic.MoveToFront(last)
	}
}
