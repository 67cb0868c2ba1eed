package distribute

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// modelAgent applies updates as it likes and says in its acknowledgements what came of them.
type modelAgent struct {
	rng         *rand.Rand
	odds        int  // it refuses two resources of so many
	reportsHeld bool // says what it holds instead of what it refuses; agents before that was added do not
	holds       map[wire.Ref]wire.Version
}

func newModelAgent(seed uint64, odds int, reports bool) *modelAgent {
	return &modelAgent{odds: odds, rng: rand.New(rand.NewPCG(seed, 5)), reportsHeld: reports, holds: map[wire.Ref]wire.Version{}}
}

func (m *modelAgent) apply(u wire.Update) wire.Ack {
	a := wire.Ack{Nonce: u.Nonce}
	if m.reportsHeld && m.rng.IntN(1+m.odds) == 0 { // nothing can be applied
		for _, r := range u.Set {
			a.Rejections = append(a.Rejections, m.rejection(r.Ref))
		}
		for _, ref := range u.Removed {
			a.Rejections = append(a.Rejections, m.rejection(ref))
		}
		return a
	}
	asked := map[wire.Ref]bool{}
	for _, ref := range u.Removed {
		asked[ref] = true
		delete(m.holds, ref)
	}
	for _, r := range u.Set {
		asked[r.Ref] = true
		switch m.rng.IntN(m.odds) {
		case 0: // keeps what it had
			a.Rejections = append(a.Rejections, m.rejection(r.Ref))
		case 1: // and cannot keep that either
			delete(m.holds, r.Ref)
			a.Rejections = append(a.Rejections, m.rejection(r.Ref))
		default:
			m.holds[r.Ref] = r.Version
		}
	}
	for ref := range maps.Clone(m.holds) {
		if !asked[ref] && ref.Kind == wire.Profile && m.rng.IntN(2*m.odds) == 0 {
			delete(m.holds, ref)
			a.Rejections = append(a.Rejections, m.rejection(ref))
		}
	}
	return a
}

func (m *modelAgent) rejection(ref wire.Ref) wire.Rejection {
	return wire.Rejection{Ref: ref, Reason: wire.ReasonInvalid, Message: "will not", HeldKnown: m.reportsHeld, Held: m.holds[ref]}
}

// checkHeld compares what the store takes for held with what the agent holds. What an older agent leaves open may be left open.
func checkHeld(t *testing.T, s *Store, c *session, m *modelAgent) {
	t.Helper()
	for ref, version := range c.held {
		holds, does := m.holds[ref]
		if open := version == unknownVersion && !m.reportsHeld; !open && (!does || holds != version) {
			t.Fatalf("%s is taken to be held in version %s, the agent holds %s (%v)", ref, version, holds, does)
		}
	}
	for ref := range m.holds {
		if _, known := c.held[ref]; !known {
			t.Fatalf("%s is held and not taken to be", ref)
		}
	}
	for name, p := range s.profiles {
		r := s.Rollout(policyOf(name))
		if r.Programmed > 0 && m.holds[wire.Ref{Kind: wire.Profile, Name: name}] != p.resource.Version {
			t.Fatalf("%s is called programmed in a version that is not held", name)
		}
	}
}

// randomEdit publishes a random change of a few profiles, destinations and pods of node n1.
func randomEdit(rng *rand.Rand, b *Batch) {
	name, uid, service := fmt.Sprint("p", rng.IntN(3)), fmt.Sprint("pod", rng.IntN(4)), fmt.Sprint("shop/s", rng.IntN(2))
	switch rng.IntN(8) {
	case 0, 1, 2:
		b.SetProfile(profileOf(name, rng.IntN(3), service))
	case 3:
		b.RemoveProfile(name)
	case 4, 5:
		b.SetWorkload("n1", pod(uid, name))
	case 6:
		b.RemoveWorkload(uid)
	case 7:
		b.SetDestination(&policy.Destination{Name: service, Ports: []policy.DestinationPort{{Port: uint16(80 + rng.IntN(3))}}})
	}
}

// Whatever an agent refuses, gives up and keeps, the store knows what it holds, over any number of updates and streams.
func TestWhatIsRecordedAsHeldIsHeld(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := NewStore(StoreOptions{})
			s.Serving().Start()
			m := newModelAgent(seed, 5, seed%2 == 0)
			var c *session
			for range 120 {
				switch m.rng.IntN(12) {
				case 0:
					if c != nil {
						s.detach(c, time.Now())
					}
					c = nil
				case 1, 2, 3, 4, 5:
					var b Batch
					for range 1 + m.rng.IntN(3) {
						randomEdit(m.rng, &b)
					}
					if err := s.Publish(&b); err != nil {
						t.Fatal(err)
					}
				}
				if c == nil {
					c = s.attach("n1", "agent", wire.Hello{Held: maps.Clone(m.holds)})
				}
				u, _ := s.next(c, time.Now())
				if u == nil {
					continue
				}
				if m.rng.IntN(3) == 0 {
					var b Batch
					randomEdit(m.rng, &b)
					if err := s.Publish(&b); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.acknowledge(c, m.apply(*u)); err != nil {
					t.Fatal(err)
				}
				checkHeld(t, s, c, m)
			}
		})
	}
}

// An agent that cannot remove something is behind, and is asked again with the next update.
func TestARefusedRemovalIsTriedAgain(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		a := o.subscribed("n1", nil)
		defer a.leave()
		have := held(a.receive())
		o.publish(func(b *Batch) { b.RemoveWorkload("b") })
		gone := wire.Ref{Kind: wire.Workload, Name: "b"}
		wantRefs(t, a.receive(wire.Rejection{Ref: gone, Reason: wire.ReasonInternal, HeldKnown: true, Held: have[gone]}), "-workload/b")
		if n := o.store.Behind(o.store.Revision()); n != 1 {
			t.Errorf("%d agents behind, want the one that holds on", n)
		}
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 81)) })
		wantRefs(t, a.receive(), "+destination/shop/cart", "-workload/b")
		if n := o.store.Behind(o.store.Revision()); n != 0 {
			t.Errorf("%d agents behind after it removed it", n)
		}
	})
}
