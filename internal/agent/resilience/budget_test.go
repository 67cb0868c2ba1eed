package resilience

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func TestRule13_Budget(t *testing.T) {
	tests := map[string]struct {
		cfg   policy.Budget
		calls int
		want  int // retries that may start at once
	}{
		"a share of the calls":           {policy.Budget{Percent: 20, Window: 10 * time.Second}, 100, 20},
		"the floor without calls":        {policy.Budget{Percent: 20, MinPerSecond: 10, Window: 10 * time.Second}, 0, 100},
		"the floor below the share":      {policy.Budget{Percent: 20, MinPerSecond: 1, Window: 10 * time.Second}, 100, 20},
		"the floor above the share":      {policy.Budget{Percent: 20, MinPerSecond: 3, Window: 10 * time.Second}, 100, 30},
		"nothing and nothing is nothing": {policy.Budget{Window: 10 * time.Second}, 1000, 0},
		"rounds down":                    {policy.Budget{Percent: 20, Window: 10 * time.Second}, 9, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := NewBudget(tc.cfg, t0)
			for range tc.calls {
				b.Call(t0, 0)
			}
			got := 0
			for b.Allows(t0) && b.Start(t0) {
				got++
			}
			if got != tc.want {
				t.Errorf("%d retries started, want %d", got, tc.want)
			}
			if b.Start(t0) {
				t.Error("Start says yes where Allows said no")
			}
		})
	}
}

func TestRule13_BudgetTakesBack(t *testing.T) {
	b := NewBudget(policy.Budget{MinPerSecond: 1, Window: time.Second}, t0)
	if !b.Start(t0) || b.Start(t0) {
		t.Fatal("it is not one")
	}
	b.Return(t0)
	b.Return(t0) // of nothing
	if !b.Start(t0) || b.Start(t0) {
		t.Error("it is not one again")
	}
	later := t0.Add(2 * time.Second)
	if !b.Start(later) {
		t.Fatal("it does not slide")
	}
	b.Return(t0) // which counts no more
	if b.Start(later) {
		t.Error("another one was taken back")
	}
}

func TestRule13_BudgetSlides(t *testing.T) {
	b := NewBudget(policy.Budget{Percent: 10, Window: 10 * time.Second}, t0)
	for range 100 {
		b.Call(t0, 0)
	}
	for range 10 {
		b.Start(t0)
	}
	late := t0.Add(9 * time.Second)
	for range 50 {
		b.Call(late, 0)
	}
	got := 0
	for b.Start(late) {
		got++
	}
	if got != 5 { // 10 % of 150, less the 10 of before
		t.Errorf("%d retries inside the window, want 5", got)
	}
	later := t0.Add(10 * time.Second) // only the 50 calls and 5 retries are left
	if b.Start(later) {
		t.Error("a retry more than 10 % of 50 started")
	}
	if !NewBudget(policy.Budget{MinPerSecond: 1, Window: time.Second}, t0).Start(t0.Add(-time.Hour)) {
		t.Error("a clock behind the first one stops retries")
	}
}

func TestRule13_UngatedRetriesCountToo(t *testing.T) {
	b := NewBudget(policy.Budget{MinPerSecond: 1, Window: 10 * time.Second}, t0)
	for range 10 {
		b.Count(t0)
	}
	if b.Start(t0) {
		t.Error("the budget has room for more than it counted")
	}
}

func TestRule13_BudgetKeepsItsCountOverEdits(t *testing.T) {
	b := NewBudget(policy.Budget{Percent: 10, Window: 10 * time.Second}, t0)
	for range 100 {
		b.Call(t0, 0)
	}
	for b.Start(t0) {
	}
	b.Reconfigure(policy.Budget{Percent: 11, Window: 10 * time.Second})
	if !b.Start(t0) || b.Start(t0) {
		t.Error("after the edit to 11 % of 100 calls exactly one more retry fits")
	}
	b.Reconfigure(policy.Budget{Percent: 11, Window: time.Second})
	if b.Start(t0) {
		t.Error("another window starts empty, yet a retry started")
	}
}

// What was counted in a window of another length is forgotten, and nothing of it keeps what comes from being counted.
func TestRule13_AnotherWindowCountsFromTheBeginning(t *testing.T) {
	b := NewBudget(policy.Budget{MinPerSecond: 100, Window: time.Second}, t0)
	now := t0.Add(1000 * time.Second)
	for i := range 20 {
		b.Start(now.Add(time.Duration(i) * 50 * time.Millisecond))
	}
	b.Reconfigure(policy.Budget{MinPerSecond: 1, Window: 10 * time.Second})
	started := 0
	for range 50 {
		if b.Start(now.Add(time.Second)) {
			started++
		}
	}
	if started != 10 {
		t.Errorf("%d retries started, want 10", started)
	}
}

// However many start at once, never more retries than the share start in any window.
func TestRule13_BudgetIsExactUnderConcurrency(t *testing.T) {
	const calls, workers = 5000, 8
	b := NewBudget(policy.Budget{Percent: 20, Window: 10 * time.Second}, t0)
	var started atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range calls / workers {
				b.Call(t0, uint8(w))
			}
			for b.Start(t0) {
				started.Add(1)
			}
		})
	}
	wg.Wait()
	for b.Start(t0) {
		started.Add(1)
	}
	if got := started.Load(); got != calls/5 {
		t.Errorf("%d retries of %d calls, want %d", got, calls, calls/5)
	}
}

// Over any window, at random times: retries never pass the share of the calls of that window (plus the floor), but for what
// one slot can hide.
func TestRule13_BudgetHoldsOverAnyWindow(t *testing.T) {
	const span = time.Second
	random := rand.New(rand.NewPCG(3, 4))
	b := NewBudget(policy.Budget{Percent: 20, MinPerSecond: 5, Window: span}, t0)
	var calls, retries []time.Time
	in := func(events []time.Time, now time.Time, d time.Duration) (n int) {
		for i := len(events) - 1; i >= 0 && now.Sub(events[i]) < d; i-- {
			n++
		}
		return n
	}
	now := t0
	for range 20000 {
		now = now.Add(time.Duration(random.ExpFloat64() * float64(2*time.Millisecond)))
		b.Call(now, 0)
		calls = append(calls, now)
		if random.IntN(2) == 0 && b.Start(now) {
			retries = append(retries, now)
			got := in(retries, now, span-span/slotCount)
			if limit := max(in(calls, now, span)/5, 5); got > limit {
				t.Fatalf("%d retries in a window with a limit of %d", got, limit)
			}
		}
	}
	if len(retries) < len(calls)/6 {
		t.Errorf("%d retries of %d calls: the budget gives less than its share", len(retries), len(calls))
	}
}
