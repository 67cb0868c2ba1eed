package resilience

import (
	"sync/atomic"
	"time"
)

const (
	// slotCount is how finely a window slides: what leaves it at one instant is never more than 1/slotCount of its span
	// (rule 23 allows a tenth).
	slotCount = 20
	// shardCount is over how many places the counts of many cores are spread. It is a power of two.
	shardCount = 4
)

// sliding counts events over a sliding window without locks. Time is given as ticks: numbers of slots, from 1 on. Callers with
// different shards do not wait for each other's cache lines.
type sliding struct {
	shards [shardCount]struct {
		slots
		_ [64]byte
	}
}

// slots are the counts of one window. Each is a tick (high half) and the events counted in it (low half).
type slots [slotCount]atomic.Uint64

func (s *sliding) add(tick uint64, shard uint8) { s.shards[shard%shardCount].add(tick) }

// sum returns the number of events in the window that ends with tick.
func (s *sliding) sum(tick uint64) uint64 {
	var n uint64
	for i := range s.shards {
		n += s.shards[i].sum(tick)
	}
	return n
}

func (s *sliding) reset() {
	for i := range s.shards {
		s.shards[i].reset()
	}
}

// add counts one event. One that comes so late that its slot has been taken over is left out.
func (s *slots) add(tick uint64) {
	tick &= 1<<32 - 1
	v := &s[tick%slotCount]
	for {
		old := v.Load()
		next := tick<<32 | 1
		if old>>32 == tick {
			next = old + 1
		} else if old>>32 > tick {
			return
		}
		if v.CompareAndSwap(old, next) {
			return
		}
	}
}

// take takes one event back, if it still counts.
func (s *slots) take(tick uint64) {
	tick &= 1<<32 - 1
	v := &s[tick%slotCount]
	for {
		old := v.Load()
		if old>>32 != tick || old&(1<<32-1) == 0 || v.CompareAndSwap(old, old-1) {
			return
		}
	}
}

func (s *slots) sum(tick uint64) uint64 {
	tick &= 1<<32 - 1
	var n uint64
	for i := range s {
		v := s[i].Load()
		if t := v >> 32; t <= tick && tick-t < slotCount {
			n += v & (1<<32 - 1)
		}
	}
	return n
}

func (s *slots) reset() {
	for i := range s {
		s[i].Store(0)
	}
}

// tickOf numbers the slots from 1 on, so that a slot never used differs from the first.
func tickOf(since, step time.Duration) uint64 { return uint64(max(since, 0)/step) + 1 }
