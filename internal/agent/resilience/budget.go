package resilience

import (
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Budget bounds the retries started in a sliding window to a share of the calls started in it, with a floor (rule
// 13). Counting a call is lock-free; starting a retry takes a short lock, so the bound is exact however many start at once.
type Budget struct {
	// immutable after NewBudget
	origin time.Time

	// atomic
	cfg     atomic.Pointer[budgetConfig]
	calls   sliding
	retries slots

	mu sync.Mutex // serialises starts of retries
}

type budgetConfig struct {
	policy policy.Budget
	step   time.Duration
	floor  uint64
}

// NewBudget returns an empty Budget. Times given to it later are read relative to now.
func NewBudget(cfg policy.Budget, now time.Time) *Budget {
	b := &Budget{origin: now}
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
	next := &budgetConfig{policy: cfg, step: max(cfg.Window/slotCount, 1)}
	next.floor = uint64(float64(cfg.MinPerSecond) * cfg.Window.Seconds())
	if old != nil && old.step != next.step {
		b.calls.reset()
		b.retries.reset()
	}
	b.cfg.Store(next)
}

// Call counts the start of a call. Callers with different shards do not slow each other down.
func (b *Budget) Call(now time.Time, shard uint8) {
	b.calls.add(b.tick(b.cfg.Load(), now), shard)
}

// Allows reports whether a retry could start at now. It takes nothing: Start decides.
func (b *Budget) Allows(now time.Time) bool {
	c := b.cfg.Load()
	return b.fits(c, b.tick(c, now))
}

// Start counts the start of a retry at now, if the budget has one left.
func (b *Budget) Start(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.cfg.Load()
	tick := b.tick(c, now)
	if !b.fits(c, tick) {
		return false
	}
	b.retries.add(tick)
	return true
}

// Return takes back the start of a retry that Start has counted at a time, and that has not been made.
func (b *Budget) Return(started time.Time) {
	b.retries.take(b.tick(b.cfg.Load(), started))
}

// Count counts the start of a retry that the budget is not asked for (rule 8).
func (b *Budget) Count(now time.Time) {
	b.retries.add(b.tick(b.cfg.Load(), now))
}

func (b *Budget) fits(c *budgetConfig, tick uint64) bool {
	n := b.retries.sum(tick)
	return n < c.floor || n < b.calls.sum(tick)*uint64(c.policy.Percent)/100
}

func (b *Budget) tick(c *budgetConfig, now time.Time) uint64 {
	return tickOf(now.Sub(b.origin), c.step)
}
