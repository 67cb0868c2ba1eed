package resilience

import (
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// budgetSlots is how finely a budget's window slides.
const budgetSlots = 20

// Budget bounds the retries started in a sliding window to a share of the calls started in it, with a floor (rule
// 13). Counting a call is lock-free; starting a retry takes a short lock, so the bound is exact however many start at once.
type Budget struct {
	// immutable after NewBudget
	epoch time.Time

	// atomic
	cfg   atomic.Pointer[budgetConfig]
	calls [budgetSlots]countedSlot

	mu      sync.Mutex // serialises starts of retries
	retries [budgetSlots]countedSlot
}

type budgetConfig struct {
	policy policy.Budget
	step   time.Duration
	floor  uint64
}

// countedSlot is a slot number (high half) and the events counted in it (low half).
type countedSlot struct{ v atomic.Uint64 }

// NewBudget returns an empty Budget. Times given to it later are read relative to now.
func NewBudget(cfg policy.Budget, now time.Time) *Budget {
	b := &Budget{epoch: now}
	b.Reconfigure(cfg)
	return b
}

// Reconfigure puts cfg in force. What was counted stays as long as the window keeps its length.
func (b *Budget) Reconfigure(cfg policy.Budget) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.cfg.Load()
	if old != nil && old.policy == cfg {
		return
	}
	next := &budgetConfig{policy: cfg, step: max(cfg.Window/budgetSlots, 1)}
	next.floor = uint64(float64(cfg.MinPerSecond) * cfg.Window.Seconds())
	if old != nil && old.step != next.step {
		for i := range budgetSlots {
			b.calls[i].v.Store(0)
			b.retries[i].v.Store(0)
		}
	}
	b.cfg.Store(next)
}

// Call counts the start of a call.
func (b *Budget) Call(now time.Time) {
	tick := b.tick(b.cfg.Load(), now)
	b.calls[tick%budgetSlots].add(tick)
}

// Allows reports whether a retry could start at now. It takes nothing: Start decides.
func (b *Budget) Allows(now time.Time) bool {
	c := b.cfg.Load()
	return b.fits(c, b.tick(c, now))
}

// Start takes the leave to start a retry at now, if the budget has one left.
func (b *Budget) Start(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.cfg.Load()
	tick := b.tick(c, now)
	if !b.fits(c, tick) {
		return false
	}
	b.retries[tick%budgetSlots].add(tick)
	return true
}

// Count counts the start of a retry that needs no leave (rule 8).
func (b *Budget) Count(now time.Time) {
	tick := b.tick(b.cfg.Load(), now)
	b.retries[tick%budgetSlots].add(tick)
}

func (b *Budget) fits(c *budgetConfig, tick uint64) bool {
	limit := max(sum(&b.calls, tick)*uint64(c.policy.Percent)/100, c.floor)
	return sum(&b.retries, tick) < limit
}

// tick numbers the slots from 1 on, so that a slot never used is told from the first.
func (b *Budget) tick(c *budgetConfig, now time.Time) uint64 {
	return uint64(max(now.Sub(b.epoch), 0)/c.step) + 1
}

// add counts one event in the slot numbered tick. An event that comes so late that the slot has been taken over is left out.
func (s *countedSlot) add(tick uint64) {
	tick &= 1<<32 - 1
	for {
		old := s.v.Load()
		next := tick<<32 | 1
		if old>>32 == tick {
			next = old + 1
		} else if old>>32 > tick {
			return
		}
		if s.v.CompareAndSwap(old, next) {
			return
		}
	}
}

func sum(slots *[budgetSlots]countedSlot, tick uint64) uint64 {
	tick &= 1<<32 - 1
	var n uint64
	for i := range slots {
		v := slots[i].v.Load()
		if t := v >> 32; t <= tick && tick-t < budgetSlots {
			n += v & (1<<32 - 1)
		}
	}
	return n
}
