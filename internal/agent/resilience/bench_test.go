package resilience

import (
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func BenchmarkBreakerClosed(b *testing.B) {
	br, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures = 5
		b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
	})
	now := t0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		p, _ := br.Allow(now)
		br.Done(now, p, Result{Took: time.Millisecond})
	}
}

// Callers have shards of their own, as pooled calls have.
func BenchmarkBreakerClosedParallel(b *testing.B) {
	br, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures = 5
		b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
	})
	var worker atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		shard := uint8(worker.Add(1))
		for pb.Next() {
			p, _ := br.Allow(t0)
			br.Done(t0, p, Result{Took: time.Millisecond, Shard: shard})
		}
	})
}

func BenchmarkBudgetCall(b *testing.B) {
	budget := NewBudget(policy.Defaults().Retry.Budget, t0)
	b.ReportAllocs()
	for b.Loop() {
		budget.Call(t0, 0)
	}
}

func BenchmarkBudgetCallParallel(b *testing.B) {
	budget := NewBudget(policy.Defaults().Retry.Budget, t0)
	var worker atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		shard := uint8(worker.Add(1))
		for pb.Next() {
			budget.Call(t0, shard)
		}
	})
}

func BenchmarkBudgetStart(b *testing.B) {
	budget := NewBudget(policy.Budget{MinPerSecond: 1 << 30, Window: time.Second}, t0)
	b.ReportAllocs()
	for b.Loop() {
		budget.Start(t0)
	}
}
