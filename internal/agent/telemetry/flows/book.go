package flows

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Bounds of what is counted apart.
const (
	maxFlows    = 1024
	maxOfCaller = 256
	// forgottenAfter is how many reports a flow may be without calls before it is forgotten.
	forgottenAfter = 30
)

// Interval is how often reports say what was counted at most.
const Interval = 10 * time.Second

// Book counts for one node.
type Book struct {
	wanted atomic.Bool

	mu sync.Mutex
	// guarded by mu
	flows    map[string]*flow // by flowKey.appendTo
	ofCaller map[policy.Caller]int
	other    flow
	reported time.Time
}

// New returns a Book that has counted nothing, and counts nothing until it is wanted.
func New() *Book {
	return &Book{flows: map[string]*flow{}, ofCaller: map[policy.Caller]int{}}
}

// Want says whether anybody wants what is counted.
func (b *Book) Want(wanted bool) {
	if b.wanted.Swap(wanted) && !wanted {
		b.mu.Lock()
		defer b.mu.Unlock()
		for key, f := range b.flows {
			b.forget(key, f)
		}
		b.other.counts = counts{}
	}
}

// flowKey is what is counted apart.
type flowKey struct {
	caller      policy.Caller
	policy      policy.ID
	target      string
	destination string
	protocol    policy.FlowProtocol
}

// appendTo appends what tells keys apart. No part but the last can have a zero byte.
func (k *flowKey) appendTo(b []byte) []byte {
	for _, s := range [...]string{k.caller.Namespace, k.caller.Workload, k.policy.Namespace, k.policy.Name, k.target, k.destination} {
		b = append(append(b, s...), 0)
	}
	return append(b, byte(k.policy.Kind), byte(k.protocol))
}

// find returns the flow of a key, which it makes if there is room, or the one of all others.
func (b *Book) find(k *flowKey, space []byte) *flow {
	key := k.appendTo(space)
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.flows[string(key)]
	if f != nil {
		return f
	}
	if len(b.flows) >= maxFlows || b.ofCaller[k.caller] >= maxOfCaller {
		return &b.other
	}
	f = &flow{key: *k}
	b.flows[string(key)] = f
	b.ofCaller[k.caller]++
	return f
}

// forget drops a flow: who still has it asks for it again. The caller holds mu.
func (b *Book) forget(key string, f *flow) {
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	delete(b.flows, key)
	if b.ofCaller[f.key.caller]--; b.ofCaller[f.key.caller] <= 0 {
		delete(b.ofCaller, f.key.caller)
	}
}

// Report returns what was counted since the last one, those with most calls first, at most policy.MaxFlows: the rest is in the last one, other. It
// returns nothing more often than every Interval.
func (b *Book) Report(now time.Time) []policy.Flow {
	if !b.wanted.Load() {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.reported) < Interval-time.Second { // reports come a little early and a little late
		return nil
	}
	b.reported = now
	var all []policy.Flow
	for key, f := range b.flows {
		r, idle := f.take()
		switch {
		case r.Counts.Calls > 0:
			all = append(all, r)
		case idle >= forgottenAfter:
			b.forget(key, f)
		}
	}
	other, _ := b.other.take()
	slices.SortFunc(all, func(a, b policy.Flow) int {
		return cmp.Or(cmp.Compare(b.Counts.Calls, a.Counts.Calls), a.Compare(&b))
	})
	if len(all) > policy.MaxFlows-1 {
		for i := range all[policy.MaxFlows-1:] {
			other.Add(&all[policy.MaxFlows-1+i])
		}
		all = all[:policy.MaxFlows-1]
	}
	if other.Counts.Calls > 0 {
		all = append(all, policy.Flow{Counts: other.Counts, Latency: other.Latency})
	}
	return all
}

// counts is what is counted of a flow.
type counts struct {
	calls, successes, retries uint64
	took                      [policy.LatencyBuckets]uint32
}

// flow is what one caller calls.
type flow struct {
	key flowKey // immutable

	mu sync.Mutex
	// guarded by mu
	counts
	address netip.AddrPort // that was called last, where the destination is a host
	gone    bool           // forgotten
	idle    int            // reports without a call
}

// take returns what was counted, and begins again.
func (f *flow) take() (r policy.Flow, idle int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == 0 {
		f.idle++
		return r, f.idle
	}
	r = policy.Flow{
		Caller: f.key.caller, Policy: f.key.policy, Target: f.key.target, Destination: f.key.destination, Protocol: f.key.protocol, Address: f.address,
		Counts: policy.FlowCounts{Calls: f.calls, Successes: f.successes, Retries: f.retries},
	}
	for i, n := range f.took {
		r.Latency[i] = uint64(n)
	}
	f.counts, f.idle = counts{}, 0
	return r, 0
}

// add counts a call. It reports false if the flow was forgotten.
func (f *flow) add(c *counted) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return false
	}
	f.calls++
	if c.good {
		f.successes++
	}
	f.retries += uint64(c.retries)
	if c.timed && f.took[c.bucket] < math.MaxUint32 {
		f.took[c.bucket]++
	}
	f.address = c.address
	return true
}
