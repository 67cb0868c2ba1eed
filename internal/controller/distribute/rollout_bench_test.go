package distribute

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// fleetOf is a store with one cluster policy over all: it has a part in every profile. Each node has 28 pods.
func fleetOf(b *testing.B, nodes, profiles int) (*Store, []*session) {
	b.Helper()
	s := NewStore(StoreOptions{})
	s.Serving().Start()
	var batch Batch
	names := make([]string, profiles)
	for p := range profiles {
		names[p] = fmt.Sprintf("cluster-guardrails+namespace-%d/policy-of-the-usual-length-%d", p/5, p)
		batch.SetProfile(&policy.Profile{Name: names[p]}, policyOf("everyone"), policyOf(fmt.Sprint("p", p)))
	}
	for n := range nodes {
		for w := range 28 {
			p := (n*28 + w) * 7919 % profiles
			batch.SetWorkload(fmt.Sprintf("node-%d", n), &policy.Workload{UID: fmt.Sprintf("uid-%d-%d", n, w), Namespace: "ns", Name: "pod", Profile: names[p]})
		}
	}
	if err := s.Publish(&batch); err != nil {
		b.Fatal(err)
	}
	sessions := make([]*session, nodes)
	for n := range nodes {
		sessions[n] = s.attach(fmt.Sprintf("node-%d", n), "agent", wire.Hello{Held: map[wire.Ref]wire.Version{}})
		acknowledgeNext(b, s, sessions[n])
	}
	return s, sessions
}

func acknowledgeNext(b *testing.B, s *Store, c *session) {
	u, _ := s.next(c, time.Now())
	if err := s.acknowledge(c, wire.Ack{Nonce: u.Nonce}); err != nil {
		b.Fatal(err)
	}
}

// How far a cluster policy has come is asked up to ten times a second while it changes, under the lock that agents need.
func BenchmarkRolloutOfAClusterPolicy(b *testing.B) {
	for _, size := range []struct{ nodes, profiles int }{{1000, 400}, {2500, 1000}, {5000, 2000}} {
		s, _ := fleetOf(b, size.nodes, size.profiles)
		name := fmt.Sprintf("%d-nodes-%d-profiles", size.nodes, size.profiles)
		now := time.Now()
		b.Run(name+"/programmed", func(b *testing.B) {
			for b.Loop() {
				if r := s.rollout(now, policyOf("everyone")); r.Programmed != size.nodes {
					b.Fatalf("%+v", r)
				}
			}
		})
		b.Run(name+"/lookedUp", func(b *testing.B) {
			for b.Loop() {
				if r := recomputedRollout(s, now, policyOf("everyone")); r.Programmed != size.nodes {
					b.Fatalf("%+v", r)
				}
			}
		})
		editEveryProfile(b, s, size.profiles)
		b.Run(name+"/pending", func(b *testing.B) {
			for b.Loop() {
				if r := s.rollout(now, policyOf("everyone")); r.Pending != size.nodes {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}

func editEveryProfile(b *testing.B, s *Store, profiles int) {
	b.Helper()
	var batch Batch
	for p := range profiles {
		name := fmt.Sprintf("cluster-guardrails+namespace-%d/policy-of-the-usual-length-%d", p/5, p)
		batch.SetProfile(&policy.Profile{Name: name, FailClosed: true}, policyOf("everyone"), policyOf(fmt.Sprint("p", p)))
	}
	if err := s.Publish(&batch); err != nil {
		b.Fatal(err)
	}
}

// The price of keeping rollouts up to date is paid when agents acknowledge.
func BenchmarkAcknowledgeAnEndpointChange(b *testing.B) {
	s, sessions := fleetOf(b, 1000, 400)
	var batch Batch
	for p := range 400 {
		name := fmt.Sprintf("cluster-guardrails+namespace-%d/policy-of-the-usual-length-%d", p/5, p)
		batch.SetProfile(profileOf(name, 1, "shop/cart"))
	}
	if err := s.Publish(&batch); err != nil {
		b.Fatal(err)
	}
	for _, c := range sessions {
		acknowledgeNext(b, s, c)
	}
	port := 0
	for b.Loop() {
		b.StopTimer()
		port++
		var batch Batch
		batch.SetDestination(service("shop/cart", uint16(port)))
		if err := s.Publish(&batch); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for _, c := range sessions {
			acknowledgeNext(b, s, c)
		}
	}
}
