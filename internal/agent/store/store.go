package store

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Options configure a Store.
type Options struct {
	// Dialer returns what makes connections for a pod. It is asked when a pod's first call to a destination arrives.
	Dialer func(podUID string) upstream.Dialer
	// Observer hears what calls did; nil means nobody.
	Observer Observer
	// MaxDynamic replaces MaxDynamicDestinations; 0 means the constant.
	MaxDynamic int
}

// Store holds the policies in force.
type Store struct {
	// immutable after New
	dialer   func(podUID string) upstream.Dialer
	observer Observer
	dock     *upstream.Dock

	// atomic
	version atomic.Uint64
	current atomic.Pointer[version]

	mu       sync.Mutex
	profiles map[string]*profile // guarded by mu
	bindings map[string]*Binding // guarded by mu; those of pods on this node, by key
	states   states              // guarded by mu
}

// version is one complete set of policies.
type version struct {
	tables map[string]*Table // by pod UID
}

// New returns a store without policies.
func New(o Options) (*Store, error) {
	if o.Dialer == nil {
		return nil, errors.New("store: no dialer")
	}
	if o.Observer == nil {
		o.Observer = Silence{}
	}
	if o.MaxDynamic == 0 {
		o.MaxDynamic = MaxDynamicDestinations
	}
	s := &Store{
		dialer: o.Dialer, observer: o.Observer, dock: upstream.NewDock(),
		states: states{all: map[stateKey]*state{}, limit: o.MaxDynamic},
	}
	s.current.Store(&version{})
	return s, nil
}

// Dialer returns what makes connections for a pod.
func (s *Store) Dialer(podUID string) upstream.Dialer { return s.dialer(podUID) }

// Run keeps the pools tidy until ctx ends, then closes them.
func (s *Store) Run(ctx context.Context) error { return s.dock.Run(ctx) }

// Version changes with every Install; as long as it does not, Table returns the same.
func (s *Store) Version() uint64 { return s.version.Load() }

// Table returns the policy of a pod, or nil when nothing governs it.
func (s *Store) Table(podUID string) *Table { return s.current.Load().tables[podUID] }

// Reason says why a profile cannot be applied.
type Reason string

// The reasons to refuse a profile.
const (
	// ReasonInvalid: the profile contradicts itself or holds something that cannot be compiled.
	ReasonInvalid Reason = "Invalid"
)

// Rejection names a profile that is not applied; the version before it stays in force (semantics rule 35).
type Rejection struct {
	Profile string
	Reason  Reason
	Message string
}

// Install puts a snapshot in force. Calls in flight go on under the version they began with (semantics rule 33). What did not
// change keeps its state.
func (s *Store) Install(next *policy.Snapshot) []Rejection {
	s.mu.Lock()
	defer s.mu.Unlock()
	profiles, rejected := s.compile(next)
	old := s.current.Load()
	v := &version{tables: make(map[string]*Table, len(next.Workloads))}
	for uid, w := range next.Workloads {
		p := profiles[w.Profile]
		if p == nil {
			continue
		}
		t := old.tables[uid]
		if t == nil || t.profile != p {
			t = &Table{pod: uid, profile: p, store: s}
		}
		v.tables[uid] = t
	}
	s.profiles, s.bindings = profiles, make(map[string]*Binding)
	for _, t := range v.tables {
		maps.Copy(s.bindings, t.profile.byKey)
	}
	s.current.Store(v)
	s.version.Add(1)
	s.reconfigure(v)
	return rejected
}

// PodEnded closes the idle connections of a pod whose sandbox is gone: they would keep its network namespace alive.
func (s *Store) PodEnded(uid string) {
	s.dock.Range(func(k upstream.Key, p *upstream.Pool) (keep bool) {
		if k.Pod == uid {
			p.CloseIdle()
		}
		return true
	})
}

func (s *Store) compile(next *policy.Snapshot) (map[string]*profile, []Rejection) {
	profiles := make(map[string]*profile, len(next.Profiles))
	var rejected []Rejection
	for name, source := range next.Profiles {
		old := s.profiles[name]
		if old != nil && old.current(source, next.Destinations) {
			profiles[name] = old
			continue
		}
		p, err := compileProfile(source, next.Destinations, s.observer)
		if err != nil {
			rejected = append(rejected, Rejection{Profile: name, Reason: ReasonInvalid, Message: err.Error()})
			p = old
		}
		if p != nil {
			profiles[name] = p
		}
	}
	slices.SortFunc(rejected, func(a, b Rejection) int { return cmp.Compare(a.Profile, b.Profile) })
	return profiles, rejected
}

// reconfigure brings what lives beside the versions up to date, pools, breakers and budgets, and frees what no pod can use any
// more.
func (s *Store) reconfigure(v *version) {
	s.dock.Range(func(k upstream.Key, p *upstream.Pool) (keep bool) {
		t := v.tables[k.Pod]
		if t == nil || t.profile.byKey[k.Binding] == nil {
			return false
		}
		b := t.profile.byKey[k.Binding]
		p.Reconfigure(b.base.values.Pool, b.base.values.LoadBalancing)
		if !b.dynamic() {
			p.SetEndpoints(b.endpoints[k.Destination])
		}
		return true
	})
	for k, st := range s.states.all {
		b := s.bindings[k.binding]
		if b == nil {
			s.states.forget(st)
			continue
		}
		st.reconfigure(b)
		st.dropPods(func(pod string) bool { return v.tables[pod] != nil })
	}
}

// resolve makes a lane. A table that has been replaced in the meantime gets one whose state nobody else sees: its call keeps the
// version it began with, and the versions after it are not disturbed.
func (s *Store) resolve(t *Table, c *Candidate, destination string) (*Lane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := c.Binding
	current := s.current.Load().tables[t.pod] == t
	if !current {
		lone := &states{all: map[stateKey]*state{}, limit: 1}
		st, _ := lone.get(stateKey{b.Key(), destination}, false)
		pool, err := upstream.New(s.poolOptions(t, b, destination))
		if err != nil {
			return nil, err
		}
		pool.Close()
		st.forgotten.Store(true)
		return newLane(t, c, st, pool), nil
	}
	st, victim := s.states.get(stateKey{b.Key(), destination}, b.dynamic())
	if victim != nil {
		s.dock.Range(func(k upstream.Key, _ *upstream.Pool) (keep bool) {
			return stateKey{k.Binding, k.Destination} != victim.key
		})
	}
	pool, err := s.dock.Pool(upstream.Key{Pod: t.pod, Binding: b.Key(), Destination: destination}, s.poolOptions(t, b, destination))
	if err != nil {
		return nil, err
	}
	l := newLane(t, c, st, pool)
	t.remember(l, destination)
	return l, nil
}

func (s *Store) poolOptions(t *Table, b *Binding, destination string) upstream.Options {
	base := b.base.values
	return upstream.Options{
		Dialer: s.dialer(t.pod), Limits: base.Pool, LoadBalancing: base.LoadBalancing, Endpoints: b.endpoints[destination],
	}
}

func newLane(t *Table, c *Candidate, st *state, pool *upstream.Pool) *Lane {
	b := c.Binding
	l := &Lane{Binding: b, Pool: pool, state: st, plans: make([]Plan, len(b.rules)+1)}
	for i := range l.plans {
		l.plans[i] = newPlan(b.at(i), call.Plan{
			Settings: b.at(i).values,
			Breaker:  st.breaker(b, i, t.pod, rand.Float64),
			Budget:   st.budget(b, i),
			Random:   rand.Float64,
		})
	}
	return l
}

// Survey is how things stand at one destination, for metrics and reports.
type Survey struct {
	Policy      policy.ID
	Target      string
	Destination string
	// BreakersOpen counts breakers that are open or half-open.
	BreakersOpen int
	Breakers     []resilience.Status
	Pool         upstream.Stats // of all pods together
}

// Survey calls f for every destination that has state.
func (s *Store) Survey(now time.Time, f func(Survey)) {
	for _, v := range s.survey(now) {
		f(v)
	}
}

func (s *Store) survey(now time.Time) []Survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := map[stateKey]int{}
	var out []Survey
	for k, st := range s.states.all {
		b := s.bindings[k.binding]
		v := Survey{Policy: b.ID(), Target: b.source.To.String(), Destination: k.destination}
		for _, br := range st.breakers {
			status := br.Status(now)
			v.Breakers = append(v.Breakers, status)
			if status.State != resilience.Closed {
				v.BreakersOpen++
			}
		}
		at[k] = len(out)
		out = append(out, v)
	}
	s.dock.Each(func(k upstream.Key, g upstream.Stats) {
		if i, ok := at[stateKey{k.Binding, k.Destination}]; ok {
			p := &out[i].Pool
			p.Active, p.Idle, p.Waiting = p.Active+g.Active, p.Idle+g.Idle, p.Waiting+g.Waiting
		}
	})
	return out
}
