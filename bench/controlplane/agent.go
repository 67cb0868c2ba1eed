package main

import (
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/subscribe"
	"fairlead.dev/fairlead/internal/policy"
)

// agent stands in for a node's agent: it takes every policy, notes when, and makes up traffic.
type agent struct {
	all *simulatedAgents // immutable

	mu sync.Mutex
	// guarded by mu
	snapshot *policy.Snapshot
}

var (
	_ subscribe.Applier  = (*agent)(nil)
	_ subscribe.Reporter = (*agent)(nil)
)

// Apply implements subscribe.Applier.
func (a *agent) Apply(next *policy.Snapshot) []subscribe.Rejection {
	now := time.Now()
	a.mu.Lock()
	old := a.snapshot
	a.snapshot = next
	a.mu.Unlock()
	a.all.applies.Add(1)
	a.all.notify(observation{agent: a, at: now})
	// What was not sent again is the same object as before.
	for name, p := range next.Profiles {
		if old.Profiles[name] != p {
			a.all.received.Add(1)
			a.all.notify(observation{agent: a, at: now, profile: p})
		}
	}
	if !same(next.Workloads, old.Workloads) {
		for uid, w := range next.Workloads {
			if old.Workloads[uid] != w {
				a.all.received.Add(1)
				a.all.notify(observation{agent: a, at: now, workload: w})
			}
		}
	}
	if !same(next.Destinations, old.Destinations) {
		for name, d := range next.Destinations {
			if old.Destinations[name] != d {
				a.all.received.Add(1)
			}
		}
	}
	return nil
}

// same reports whether both are one map: what an update does not touch is shared.
func same[T any](a, b map[string]*T) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

// Report implements subscribe.Reporter: there is traffic under every policy of the node, and it is never the same.
func (a *agent) Report() *policy.Report {
	a.mu.Lock()
	snapshot := a.snapshot
	a.mu.Unlock()
	r := &policy.Report{Captured: len(snapshot.Workloads)}
	for _, p := range snapshot.Profiles {
		for i := range p.Bindings {
			b := &p.Bindings[i]
			requests := 100 + rand.Uint64N(900)
			t := policy.Traffic{Policy: b.Policy, Target: b.To.String(), Connections: 1 + rand.IntN(20)}
			t.Counts = policy.Counts{Requests: requests, Successes: requests - requests/50, Retries: requests / 20, RetrySuccesses: requests / 25}
			t.Latency[20+rand.IntN(10)] = requests
			r.Traffic = append(r.Traffic, t)
		}
	}
	a.all.reports.Add(1)
	return r
}
