package h2

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// holding is an account of 8 KB in which pods a, b, … hold so many bytes.
func holding(t *testing.T, bytes ...int) (*account, []*podAccount) {
	t.Helper()
	a := &account{limit: 8000}
	var pods []*podAccount
	for i, n := range bytes {
		p := a.of(string(rune('a' + i)))
		p.add(n)
		pods = append(pods, p)
	}
	return a, pods
}

func TestRule31_WhatOnePodHoldsIsNoOtherPodsConcern(t *testing.T) {
	for name, tc := range map[string]struct {
		holds            []int
		short, exhausted string // the pods
	}{
		"nothing":                           {[]int{0, 0}, "", ""},
		"one, as much as it may":            {[]int{2000, 0}, "", ""},
		"one, more than its share":          {[]int{2001, 1999}, "a", ""},
		"one, far more":                     {[]int{4001, 1999}, "a", "a"},
		"many, each little":                 {[]int{1600, 1600, 1600, 1600, 1600}, "", ""},
		"many, together too much":           {[]int{1900, 1900, 1900, 1900, 500}, "abcd", ""},
		"many, together far too much":       {[]int{3900, 3900, 3900, 3900, 500}, "abcd", "abcd"},
		"one that holds all there is alone": {[]int{20_000}, "a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			_, pods := holding(t, tc.holds...)
			short, exhausted := "", ""
			for _, p := range pods {
				if p.short() {
					short += p.pod
				}
				if p.exhausted() {
					exhausted += p.pod
				}
			}
			if short != tc.short || exhausted != tc.exhausted {
				t.Errorf("short: %q, want %q; exhausted: %q, want %q", short, tc.short, exhausted, tc.exhausted)
			}
		})
	}
}

// Whatever others do, a pod that holds no more than an equal part is never short of memory; and if all keep to what the account says, what they
// hold together is bounded.
func TestRule31_MemoryIsBoundedAndFair(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + random.IntN(20)
		a, pods := holding(t, make([]int, n)...)
		equal := int(a.limit) / max(n, maxShare)
		pods[0].add(equal)
		for range 2000 {
			p := pods[random.IntN(n)]
			switch {
			case p == pods[0]:
				if p.short() {
					t.Fatalf("a pod that holds %d of %d is short, of %d pods", equal, a.limit, n)
				}
			case !p.exhausted():
				p.add(100)
			}
		}
		if used := a.used.Load(); used > 4*a.limit+int64(n)*100 {
			t.Fatalf("%d pods hold %d of %d", n, used, a.limit)
		}
	}
}

func TestAPodsAccountLastsAsLongAsItsConnections(t *testing.T) {
	a := &account{limit: 100}
	first, second := a.of("a"), a.of("a")
	if first != second || a.sharers.Load() != 1 {
		t.Error("the connections of a pod have accounts of their own")
	}
	first.leave()
	if again := a.of("a"); again != first {
		t.Error("the account is gone while there is a connection")
	} else {
		again.leave()
	}
	second.leave()
	if a.sharers.Load() != 0 || len(a.pods) != 0 {
		t.Errorf("%d pods have accounts", a.sharers.Load())
	}
}

// A connection that was made while memory was short has the full window later.
func TestRule31_WindowsGrowWhenThereIsMemory(t *testing.T) {
	_, pods := holding(t, 3000)
	var w http2.ReceiveWindow
	w.Init(http2.DefaultWindow)
	if n := pods[0].open(&w); n != 0 {
		t.Errorf("a window grew by %d bytes while memory is short", n)
	}
	pods[0].add(-3000)
	if n := pods[0].open(&w); n != connWindow-http2.DefaultWindow {
		t.Errorf("a window grew by %d bytes", n)
	}
	if n := pods[0].open(&w); n != 0 {
		t.Errorf("a window of full size grew by %d bytes", n)
	}
}

// What is kept for streams to come is small, and accounted for until it is given up.
func TestRule31_UnusedStreamsKeepLittle(t *testing.T) {
	s := New(Options{}).bare(t)
	var streams []*stream
	for i := range 2 * maxUnused {
		x := s.take()
		for b := range x.blocks {
			b.Add("x", fmt.Sprintf("%0*d", 3<<10<<(i%3), 0))
		}
		x.charge()
		streams = append(streams, x)
	}
	full := s.account.used.Load()
	for _, x := range streams {
		s.free(x)
	}
	if len(s.unused) != maxUnused {
		t.Errorf("%d streams are kept", len(s.unused))
	}
	s.trim()
	used := s.account.used.Load()
	if most := int64(maxUnusedIdle * 6 * keptBlock); len(s.unused) != maxUnusedIdle || used == 0 || used > most || used > full/8 {
		t.Errorf("%d streams keep %d bytes, at most %d; %d were in use", len(s.unused), used, most, full)
	}
	s.returnMemory()
	if used := s.account.node.used.Load(); used != 0 {
		t.Errorf("%d bytes are accounted for in the end", used)
	}
}

// What is kept for streams to come is not in use: it has no stream refused, of its own pod or another one.
func TestRule31_WhatIsKeptForStreamsToComeRefusesNone(t *testing.T) {
	const sessions, streams = 13, 32
	d := New(Options{Buffers: 1 << 20}) // of which a pod may hold 512 KiB
	var all []*Session
	for range sessions {
		s := d.bare(t)
		all = append(all, s)
		var open []*stream
		for range streams {
			x := s.take()
			for b := range x.blocks {
				b.Add("x", fmt.Sprintf("%0*d", 3<<10, 0))
			}
			x.charge()
			open = append(open, x)
		}
		if !s.account.exhausted() {
			t.Fatalf("%d bytes are in use, and not too much", s.account.used.Load())
		}
		for _, x := range open {
			s.free(x)
		}
		if a := s.account; a.short() || a.exhausted() {
			t.Fatalf("%d bytes are kept for streams to come: short %v, exhausted %v", a.used.Load(), a.short(), a.exhausted())
		}
	}
	a := all[0].account
	if kept := a.spare.Load(); kept < 128<<10 || kept > 256<<10 {
		t.Errorf("%d bytes are kept for streams to come", kept)
	}
	a.add(192 << 10)
	if a.short() {
		t.Error("a pod that uses less than it may is short")
	}
	a.add(-192 << 10)
	for _, s := range all {
		s.returnMemory()
	}
	if used, spare := d.buffers.used.Load(), d.buffers.spare.Load(); used != 0 || spare != 0 {
		t.Errorf("in the end %d bytes are accounted for, %d of them for streams to come", used, spare)
	}
}

func TestRule31_WhatOnePodKeepsForStreamsToComeIsNoOtherPodsConcern(t *testing.T) {
	_, pods := holding(t, 1900, 2000, 2000, 2000, 2000, 2000)
	if !pods[0].short() {
		t.Fatal("the pod that holds more than an equal part is not short when too much is in use")
	}
	for _, p := range pods[1:] {
		p.setAside(2000)
	}
	if pods[0].short() {
		t.Error("a pod is short of what others keep for streams to come")
	}
}
