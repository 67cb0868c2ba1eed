package resilience

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestRule19_ReplayMemoryIsCapped(t *testing.T) {
	m := NewMemory(100)
	if !m.Reserve(60) || m.Reserve(41) || !m.Reserve(40) || m.Reserve(1) {
		t.Fatalf("100 bytes do not hold 60 + 40: %d used", m.Used())
	}
	if m.Capped() != 2 {
		t.Errorf("%d refusals counted, want 2", m.Capped())
	}
	m.Release(60)
	if !m.Reserve(60) || m.Used() != 100 {
		t.Errorf("released bytes did not come back: %d used", m.Used())
	}
}

func TestRule19_ReplayMemoryHoldsUnderConcurrency(t *testing.T) {
	const limit = 1000
	m := NewMemory(limit)
	var held, most atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range int64(2000) {
				n := i%400 + 1
				if !m.Reserve(n) {
					continue
				}
				h := held.Add(n)
				for w := most.Load(); h > w && !most.CompareAndSwap(w, h); w = most.Load() {
				}
				held.Add(-n)
				m.Release(n)
			}
		})
	}
	wg.Wait()
	if most.Load() > limit || m.Used() != 0 {
		t.Errorf("%d bytes at once of %d, %d at the end", most.Load(), limit, m.Used())
	}
}

// TestRule19_OnePodTakesNoOthersMemory: a pod below its equal part gets memory whatever another one keeps.
func TestRule19_OnePodTakesNoOthersReplayMemory(t *testing.T) {
	m := NewMemory(100)
	greedy := m.Share()
	if !greedy.Reserve(100) {
		t.Fatal("a pod that is alone does not get all")
	}
	greedy.Release(100)
	modest, idle := m.Share(), m.Share()
	taken := int64(0)
	for greedy.Reserve(1) {
		taken++
	}
	if taken != 50 {
		t.Errorf("one of three pods gets %d of 100 bytes, want half", taken)
	}
	for range 33 {
		if !modest.Reserve(1) {
			t.Fatalf("a pod below its part gets none: %d used", m.Used())
		}
	}
	if modest.Reserve(1) {
		t.Error("beyond its part it gets more")
	}
	idle.Leave()
	if !modest.Reserve(1) {
		t.Error("of two pods it may have half")
	}
	greedy.Release(taken)
	modest.Release(34)
	if m.Used() != 0 || m.Capped() != 2 {
		t.Errorf("%d bytes used, %d refused", m.Used(), m.Capped())
	}
}

// What a pod was refused it does not have, whoever had no room for it.
func TestRule19_WhatIsRefusedIsNotCounted(t *testing.T) {
	m := NewMemory(100)
	if !m.Reserve(90) {
		t.Fatal("it is full")
	}
	one := m.Share()
	for range 9 {
		if one.Reserve(20) {
			t.Fatal("there are 20 bytes more than there are")
		}
	}
	m.Release(90)
	if !one.Reserve(60) {
		t.Error("what there was no room for counts")
	}
	one.Release(60)
	other := m.Share()
	for range 9 {
		if one.Reserve(60) {
			t.Fatal("of two pods one gets more than half")
		}
	}
	other.Leave()
	if !one.Reserve(60) {
		t.Error("what was more than its part counts")
	}
}
