package inventory

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// Slot is the resolution, and Kept how long slots are kept.
	Slot = 10 * time.Second
	Kept = time.Hour

	slotsKept = int64(Kept / Slot)
	// DefaultFlows is how many flows are kept apart.
	DefaultFlows = 2048
)

// Store keeps flows.
type Store struct {
	most  int       // immutable; flows that are kept apart when a slot ends
	epoch time.Time // immutable; has the monotonic clock's reading: setting the clock must not move what was counted

	mu sync.Mutex
	// guarded by mu
	slot  int64 // that is counted in, since epoch
	first int64 // slot that something was counted in; 0: nothing was yet
	flows map[key]*flow
	other [slotsKept + 1]otherSlot // what is not kept apart
}

// key is what is kept apart.
type key struct {
	caller              policy.Caller
	policy              policy.ID
	target, destination string
	protocol            policy.FlowProtocol
}

// flow is one of those that are kept apart.
type flow struct {
	key     key
	address netip.AddrPort // that was called last
	open    *counts        // of the slot that is counted in; nil: none yet
	past    history
	total   policy.FlowCounts // ever
}

// counts are those of one slot.
type counts struct {
	policy.FlowCounts
	took policy.Latency
}

func (c *counts) add(o *counts) {
	c.FlowCounts = c.Plus(o.FlowCounts)
	c.took.Add(&o.took)
}

type otherSlot struct {
	slot int64
	counts
}

// New returns a Store that keeps so many flows apart; 0: DefaultFlows.
func New(flows int, now time.Time) *Store {
	return &Store{most: max(cmp.Or(flows, DefaultFlows), 1), epoch: now.Add(-Slot), flows: map[key]*flow{}, slot: 1}
}

// slotAt returns the number of the slot that a time is in.
func (s *Store) slotAt(now time.Time) int64 { return int64(now.Sub(s.epoch) / Slot) }

// Add counts what a report says, in the slot of the time that it arrives.
func (s *Store) Add(now time.Time, reported []policy.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now)
	if s.first == 0 {
		s.first = s.slot
	}
	for i := range reported {
		f := &reported[i]
		c := counts{f.Counts, f.Latency}
		kept := s.find(f)
		if kept == nil {
			s.addOther(s.slot, &c)
			continue
		}
		if kept.open == nil {
			kept.open = &counts{}
		}
		kept.open.add(&c)
		kept.address, kept.total = f.Address, kept.total.Plus(c.FlowCounts)
	}
}

// find returns what keeps a flow, which it makes if there is room; nil: it is not kept apart. Until the slot ends there is room for more
// than are kept: one that begins now may come to have more calls than others.
func (s *Store) find(r *policy.Flow) *flow {
	if r.Other() {
		return nil
	}
	k := key{r.Caller, r.Policy, r.Target, r.Destination, r.Protocol}
	f := s.flows[k]
	if f == nil && len(s.flows) < s.most+s.most/4+1 {
		f = &flow{key: k}
		s.flows[k] = f
	}
	return f
}

func (s *Store) addOther(slot int64, c *counts) {
	at := &s.other[slot%int64(len(s.other))]
	if at.slot != slot {
		*at = otherSlot{slot: slot}
	}
	at.add(c)
}

// advance ends the slot that was counted in, if its time is over. The caller holds mu.
func (s *Store) advance(now time.Time) {
	slot := s.slotAt(now)
	if slot <= s.slot {
		return
	}
	for k, f := range s.flows {
		if f.open != nil {
			f.past.append(s.slot, f.open)
			f.open = nil
		}
		if f.past.trim(slot - slotsKept - 1); f.past.empty() {
			delete(s.flows, k)
		}
	}
	s.slot = slot
	s.fold()
}

// fold sums up the flows beyond those that are kept apart, which are those with the fewest calls. The caller holds mu.
func (s *Store) fold() {
	if len(s.flows) <= s.most {
		return
	}
	all := make([]*flow, 0, len(s.flows))
	for _, f := range s.flows {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *flow) int { return cmp.Or(cmp.Compare(b.past.calls, a.past.calls), a.key.compare(&b.key)) })
	for _, f := range all[s.most:] {
		f.past.each(func(slot int64, c *counts) {
			if slot >= s.slot-slotsKept {
				s.addOther(slot, c)
			}
		})
		delete(s.flows, f.key)
	}
}

func (k *key) compare(o *key) int {
	return cmp.Or(cmp.Compare(k.caller.Namespace, o.caller.Namespace), cmp.Compare(k.caller.Workload, o.caller.Workload),
		cmp.Compare(k.destination, o.destination), cmp.Compare(k.protocol, o.protocol), k.policy.Compare(o.policy), cmp.Compare(k.target, o.target))
}

// Totals calls f for every flow that is kept apart, with what it has counted since it is.
func (s *Store) Totals(f func(r policy.Flow)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, of := range s.flows {
		f(policy.Flow{
			Caller: k.caller, Policy: k.policy, Target: k.target, Destination: k.destination, Protocol: k.protocol, Address: of.address, Counts: of.total,
		})
	}
}
