package distribute

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// recomputedRollout computes a Rollout in the simplest way, from every node and every profile of a policy.
func recomputedRollout(s *Store, now time.Time, id policy.ID) Rollout {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := map[string]*node{}
	var names []string
	for name, p := range s.profiles {
		if slices.ContainsFunc(p.policies, func(r *policyRollout) bool { return r.id == id }) {
			names = append(names, name)
			maps.Copy(nodes, p.nodes)
		}
	}
	slices.Sort(names)
	r := Rollout{Desired: len(nodes)}
	starting := s.serving.servingFor(now) < s.opts.StartGrace
	r.LeftOut = recomputedLeftOut(s, now, nodes, names)
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		c := recomputedSession(s, n, now)
		state, why := recomputedState(s, n, c, names)
		switch {
		case state == stateProgrammed:
			r.Programmed++
		case state == stateFailed:
			r.Failed++
			if len(r.Failures) < MaxExamples {
				r.Failures = append(r.Failures, why)
			}
		case starting && !n.answered:
			r.Unknown++
		default:
			r.Pending++
			if since := n.waitingSince(c); r.WaitingSince.IsZero() || since.Before(r.WaitingSince) {
				r.WaitingSince = since
			}
			if len(r.Waiting) < MaxExamples {
				r.Waiting = append(r.Waiting, Waiting{Node: name, Connected: len(n.sessions) > 0})
			}
		}
	}
	return r
}

func recomputedSession(s *Store, n *node, now time.Time) *session {
	c := n.latest()
	if (c == nil || !c.answered) && n.former != nil && now.Sub(n.lostAt) < s.opts.Grace {
		c = n.former
	}
	return c
}

func recomputedLeftOut(s *Store, now time.Time, nodes map[string]*node, names []string) []LeftOut {
	var out []LeftOut
	for f := range wire.FeaturesOf(knowsRetries, knowsHostnames).All() {
		l := LeftOut{Feature: f}
		for _, name := range slices.Sorted(maps.Keys(nodes)) {
			if c := recomputedSession(s, nodes[name], now); c != nil && lacks(s, c, names, f) {
				l.Example = cmp.Or(l.Example, name)
				l.Nodes++
			}
		}
		if l.Nodes > 0 {
			out = append(out, l)
		}
	}
	return out
}

func lacks(s *Store, c *session, names []string, f wire.Feature) bool {
	for _, name := range names {
		p := s.profiles[name]
		if c.node.profiles[name] == nil || p.resource == nil || c.features.Has(f) {
			continue
		}
		needs := p.resource.Needs()
		for _, d := range p.uses {
			needs |= needsOf(s.dependencies[d].resource)
		}
		if needs.Has(f) {
			return true
		}
	}
	return false
}

func recomputedState(s *Store, n *node, c *session, names []string) (rolloutState, Failure) {
	if c == nil {
		return statePending, Failure{}
	}
	worst := stateProgrammed
	for _, name := range names {
		p := s.profiles[name]
		if n.profiles[name] == nil {
			continue
		}
		if why := s.unpublishable(p); why != nil {
			return stateFailed, Failure{Node: n.name, Profile: name, Reason: wire.ReasonOf(why), Message: why.Error()}
		}
		if p.resource == nil {
			worst = statePending
			continue
		}
		if no, refused := s.refusal(c, p); refused {
			return stateFailed, Failure{Node: n.name, Profile: name, Reason: no.reason, Message: no.message}
		}
		if c.held[p.resource.Ref] != p.resource.For(c.features).Version || !c.hasAcked(p.publishedIn) {
			worst = statePending
		}
	}
	return worst, Failure{}
}

// simulation is a random history of a few nodes, each with up to two agents.
type simulation struct {
	*rand.Rand
	t        *testing.T
	store    *Store
	encoder  *wire.Encoder
	sessions map[string]*session // by agent
	updates  map[string]wire.Update
	agents   map[string]*modelAgent
}

// features returns random ones of those that are made up.
func (f *simulation) features() wire.Features {
	return wire.Features(f.Uint64()) & wire.FeaturesOf(knowsRetries, knowsHostnames)
}

func (f *simulation) pick(prefix string, n int) string { return fmt.Sprint(prefix, f.IntN(n)) }

// edit adds a random change to b.
func (f *simulation) edit(b *Batch) {
	name, uid, service := f.pick("p", 5), f.pick("pod", 20), f.pick("shop/s", 3)
	switch f.IntN(10) {
	case 0, 1:
		b.SetProfile(profileOf(name, f.IntN(3), service), policyOf(f.pick("team", 2)))
	case 2:
		b.SetProfile(profileOf(name, 1<<40)) // cannot be encoded
	case 3:
		b.RemoveProfile(name)
	case 4, 5, 6:
		b.SetWorkload(f.pick("n", 4), pod(uid, name))
	case 7:
		b.RemoveWorkload(uid)
	case 8:
		d := &policy.Destination{Name: service, Ports: []policy.DestinationPort{{Port: uint16(80 + f.IntN(3))}}}
		if f.IntN(2) == 0 {
			d.Hostnames = []string{"s"}
		}
		b.SetDestination(d)
	case 9:
		if f.IntN(2) == 0 {
			b.RemoveDestination(service)
			return
		}
		tooMany := make([]policy.DestinationPort, 5000)
		b.SetDestination(&policy.Destination{Name: service, Ports: tooMany}) // cannot be encoded
	}
}

func (f *simulation) step() {
	agent := f.pick("n", 4) + "/" + f.pick("agent", 2)
	node, _, _ := strings.Cut(agent, "/")
	c := f.sessions[agent]
	switch f.IntN(10) {
	case 0:
		b := Batch{encoder: f.encoder}
		for range 1 + f.IntN(6) {
			f.edit(&b)
		}
		_ = f.store.Publish(&b) // what cannot be encoded is part of the test
	case 1:
		if c != nil {
			f.store.detach(c, time.Now())
			delete(f.sessions, agent)
		}
	case 2:
		time.Sleep(time.Duration(f.IntN(1+f.IntN(20_000))) * time.Millisecond)
	case 3:
		f.store.sweep(time.Now())
		if f.IntN(20) == 0 {
			f.store.Serving().Stop()
			f.store.sweep(time.Now())
			f.store.Serving().Start()
		}
	default:
		f.exchange(agent, node, c)
	}
}

// exchange brings an agent's subscription one step further: it connects, is sent an update, or acknowledges that.
func (f *simulation) exchange(agent, node string, c *session) {
	m := f.agents[agent]
	if m == nil {
		m = newModelAgent(f.Uint64(), 30, f.IntN(3) > 0)
		f.agents[agent] = m
	}
	if c == nil || c.err != nil {
		if c != nil {
			f.store.detach(c, time.Now())
		}
		f.sessions[agent] = f.store.attach(node, agent, wire.Hello{Held: maps.Clone(m.holds), Features: f.features()})
		delete(f.updates, agent)
		return
	}
	u, waiting := f.updates[agent]
	if !waiting {
		if u, _ := f.store.next(c, time.Now()); u != nil {
			f.updates[agent] = *u
		}
		return
	}
	delete(f.updates, agent)
	if err := f.store.acknowledge(c, m.apply(u)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *simulation) check(step int) {
	f.t.Helper()
	names := []string{"p0", "p1", "p2", "p3", "p4", "everyone", "team0", "team1", "nobody"}
	for _, name := range names {
		id, now := policyOf(name), time.Now()
		want, got := recomputedRollout(f.store, now, id), f.store.rollout(now, id)
		if diff := gocmp.Diff(want, got); diff != "" {
			f.t.Fatalf("step %d: rollout of %s (-looked up +kept):\n%s", step, name, diff)
		}
	}
}

// A rollout is kept up to date by what changes; it must always be what a look at everything gives.
func TestARolloutIsWhatRecomputingItGives(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &simulation{
					Rand: rand.New(rand.NewPCG(seed, 20)), t: t, store: NewStore(StoreOptions{}), encoder: withMadeUpFeatures(),
					sessions: map[string]*session{}, updates: map[string]wire.Update{}, agents: map[string]*modelAgent{},
				}
				f.store.Serving().Start()
				for step := range 1000 {
					f.step()
					f.check(step)
				}
				var b Batch
				for i := range 20 {
					b.RemoveWorkload(fmt.Sprint("pod", i))
					b.RemoveProfile(fmt.Sprint("p", i))
					b.RemoveDestination(fmt.Sprint("shop/s", i))
				}
				if err := f.store.Publish(&b); err != nil {
					t.Fatal(err)
				}
				if n := len(f.store.policies); n != 0 {
					t.Errorf("%d policies are remembered", n)
				}
			})
		})
	}
}
