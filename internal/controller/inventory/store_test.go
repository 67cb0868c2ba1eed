package inventory

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

var began = time.Now()

// called is what a caller called.
func called(by, destination string, calls, good uint64) policy.Flow {
	f := policy.Flow{
		Caller: policy.Caller{Namespace: "shop", Workload: by}, Policy: policy.ID{Namespace: "shop", Name: "p"}, Target: "any",
		Destination: destination, Protocol: policy.FlowHTTP, Counts: policy.FlowCounts{Calls: calls, Successes: good, Retries: 1},
	}
	f.Latency[policy.LatencyBucket(20*time.Millisecond)] = calls
	return f
}

func rows(a Answer) (out []string) {
	for _, r := range a.Rows {
		out = append(out, fmt.Sprintf("%s %s %d/%d", r.Flow.Caller.Workload, r.Flow.Destination, r.Counts.Successes, r.Counts.Calls))
	}
	return out
}

func TestFlowsAreSummedOverNodesAndTime(t *testing.T) {
	s := New(0, began)
	s.Add(began, []policy.Flow{called("cart", "a:80", 10, 9), called("web", "a:80", 5, 5)})
	s.Add(began.Add(time.Second), []policy.Flow{called("cart", "a:80", 20, 20)}) // of another node
	s.Add(began.Add(3*Slot), []policy.Flow{called("cart", "a:80", 1, 0), {Counts: policy.FlowCounts{Calls: 7, Successes: 6}}})
	now := began.Add(4 * Slot)
	a := s.Ask(now, Query{Since: time.Minute, Step: Slot})
	if got := fmt.Sprint(rows(a)); got != "[cart a:80 29/31 web a:80 5/5]" {
		t.Error(got)
	}
	if a.Other.Counts.Calls != 7 || a.Other.Counts.Successes != 6 {
		t.Errorf("other: %+v", a.Other.Counts)
	}
	if a.To.Sub(a.From) != 4*Slot || a.From.After(began) {
		t.Errorf("from %s to %s", a.From, a.To)
	}
	var points []uint64
	for _, p := range a.Rows[0].Points {
		points = append(points, p.Counts.Calls)
	}
	if fmt.Sprint(points) != "[30 0 0 1]" {
		t.Errorf("points: %v", points)
	}
	if p50, _ := a.Rows[0].Latency.Quantile(0.5); p50 < 15*time.Millisecond || p50 > 25*time.Millisecond {
		t.Errorf("the median is %s", p50)
	}
	if got := fmt.Sprint(rows(s.Ask(now, Query{Since: Slot}))); got != "[cart a:80 0/1]" {
		t.Errorf("the last slot: %s", got)
	}
}

// What is counted is shown when its slot has ended, so that a rate is over whole slots.
func TestASlotIsShownWhenItHasEnded(t *testing.T) {
	s := New(0, began)
	s.Add(began, []policy.Flow{called("cart", "a:80", 1, 1)})
	if a := s.Ask(began.Add(Slot-1), Query{Since: Kept}); len(a.Rows) != 0 || !a.From.Equal(a.To) {
		t.Errorf("before it ends: %+v", a)
	}
	if a := s.Ask(began.Add(Slot), Query{Since: Kept}); len(a.Rows) != 1 || a.To.Sub(a.From) != Slot {
		t.Errorf("when it has ended: %+v", a)
	}
}

// A replica that has waited for days until it leads has heard of no calls meanwhile: they would make rates too small for an hour.
func TestTheTimeBeforeTheFirstReportIsNotCounted(t *testing.T) {
	s := New(0, began)
	leads := began.Add(72*time.Hour + Slot/2)
	if a := s.Ask(leads, Query{Since: time.Minute}); a.To.Sub(a.From) != time.Minute {
		t.Errorf("without reports it is about %s to %s", a.From, a.To)
	}
	s.Add(leads, nil)
	if a := s.Ask(leads, Query{Since: time.Minute, Step: Slot}); !a.To.Equal(a.From) || a.Total.Points != nil {
		t.Errorf("with the first report it is about %s to %s", a.From, a.To)
	}
	s.Add(leads.Add(Slot), []policy.Flow{called("cart", "a:80", 100, 100)})
	for _, since := range []time.Duration{time.Minute, time.Hour} {
		a := s.Ask(leads.Add(2*Slot), Query{Since: since, Step: Slot})
		if a.To.Sub(a.From) != 2*Slot || a.From.After(leads) || len(a.Total.Points) != 2 || a.Total.Points[1].Counts.Calls != 100 {
			t.Errorf("%s: from %s to %s there are %+v", since, a.From, a.To, a.Total.Points)
		}
	}
	if a := s.Ask(leads.Add(3*time.Hour), Query{Since: time.Minute}); a.To.Sub(a.From) != time.Minute {
		t.Errorf("later it is about %s to %s", a.From, a.To)
	}
}

func TestWhatIsOldIsForgotten(t *testing.T) {
	s := New(0, began)
	s.Add(began, []policy.Flow{called("cart", "a:80", 1, 1), called("web", "a:80", 1, 1)})
	s.Add(began.Add(Kept-Slot), []policy.Flow{called("web", "a:80", 1, 1)})
	if got := fmt.Sprint(rows(s.Ask(began.Add(Kept), Query{Since: Kept}))); got != "[web a:80 2/2 cart a:80 1/1]" {
		t.Error(got)
	}
	if got := fmt.Sprint(rows(s.Ask(began.Add(Kept+Slot), Query{Since: Kept}))); got != "[web a:80 1/1]" {
		t.Error(got)
	}
	s.Ask(began.Add(2*Kept+Slot), Query{})
	if len(s.flows) != 0 {
		t.Errorf("%d flows are left", len(s.flows))
	}
}

func TestRowsAreChosenAndLimited(t *testing.T) {
	s := New(0, began)
	s.Add(began, []policy.Flow{called("cart", "a:80", 3, 3), called("web", "a:80", 5, 5), called("web", "b:80", 1, 0)})
	a := s.Ask(began.Add(Slot), Query{Since: Kept, Limit: 1})
	if got := fmt.Sprint(rows(a)); got != "[web a:80 5/5]" || a.LeftOut != 2 || a.LeftOutCounts.Calls != 4 || a.LeftOutCounts.Successes != 3 {
		t.Errorf("%s, and %d rows with %+v", got, a.LeftOut, a.LeftOutCounts)
	}
	a = s.Ask(began.Add(Slot), Query{Since: Kept, Wants: func(f policy.Flow) bool { return f.Caller.Workload == "cart" }})
	if got := fmt.Sprint(rows(a)); got != "[cart a:80 3/3]" {
		t.Error(got)
	}
}

// The flows with the most calls stay apart. Nothing is lost of the others: they are among other, in the slots in which they were.
func TestWhatIsBeyondTheLimitIsSummed(t *testing.T) {
	const most = 4
	s := New(most, began)
	var all uint64
	random := rand.New(rand.NewPCG(1, 2))
	for slot := range 60 {
		var reported []policy.Flow
		for i := range 40 {
			n := 1 + random.Uint64N(5)
			if i < most {
				n += 100 // known from the beginning: these are the ones to be kept
			}
			reported = append(reported, called("w", fmt.Sprint("d", i, ":80"), n, n))
			all += n
		}
		s.Add(began.Add(time.Duration(slot)*Slot), reported)
		if len(s.flows) > most+most/4+1 {
			t.Fatalf("%d flows are kept apart", len(s.flows))
		}
	}
	a := s.Ask(began.Add(60*Slot), Query{Since: Kept, Step: 20 * Slot})
	sum := a.Other.Counts.Calls
	for i, r := range a.Rows {
		sum += r.Counts.Calls
		if r.Counts.Calls < 60*100 {
			t.Errorf("row %d has %d calls", i, r.Counts.Calls)
		}
	}
	if len(a.Rows) != most || sum != all {
		t.Errorf("%d rows; %d calls in all, want %d", len(a.Rows), sum, all)
	}
	var points uint64
	for _, p := range a.Other.Points {
		points += p.Counts.Calls
		if p.Counts.Calls == 0 {
			t.Error("a step of other is empty")
		}
	}
	if points != a.Other.Counts.Calls {
		t.Errorf("the points of other have %d calls of %d", points, a.Other.Counts.Calls)
	}
}

// A history gives back what it was given, whatever that was.
func FuzzHistory(f *testing.F) {
	f.Add(uint64(1), uint8(40))
	f.Add(uint64(99), uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		random := rand.New(rand.NewPCG(seed, 0))
		var h history
		want := map[int64]counts{}
		slot := int64(random.Uint64N(1000))
		for range n {
			slot += 1 + int64(random.Uint64N(50))
			c := counts{FlowCounts: policy.FlowCounts{Calls: random.Uint64() >> random.UintN(64), Successes: random.Uint64(), Retries: random.Uint64N(3)}}
			for range random.UintN(8) {
				c.took[random.UintN(policy.LatencyBuckets)] = random.Uint64() >> random.UintN(64)
			}
			h.append(slot, &c)
			want[slot] = c
		}
		upTo := int64(random.Uint64N(uint64(slot) + 1))
		h.trim(upTo)
		var calls uint64
		h.each(func(slot int64, c *counts) {
			if *c != want[slot] || slot <= upTo {
				t.Errorf("slot %d: %+v, want %+v", slot, *c, want[slot])
			}
			calls += c.Calls
			delete(want, slot)
		})
		for slot := range want {
			if slot > upTo {
				t.Errorf("slot %d is lost", slot)
			}
		}
		if calls != h.calls {
			t.Errorf("%d calls are counted, want %d", h.calls, calls)
		}
	})
}

// An hour of as many flows as are kept takes some tens of megabytes: 20 to 30 bytes for a flow and slot.
func TestAFullStoreIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a store")
	}
	const most = 512
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(most, began)
	random := rand.New(rand.NewPCG(1, 2))
	reported := make([]policy.Flow, most)
	for slot := range slotsKept {
		for i := range reported {
			f := called("w", fmt.Sprint("destination-", i, ".example:443"), 0, 0)
			for range 100 {
				f.Latency[policy.LatencyBucket(time.Duration(float64(20*time.Millisecond)*random.ExpFloat64()))]++
			}
			f.Counts = policy.FlowCounts{Calls: 100, Successes: 99}
			reported[i] = f
		}
		s.Add(began.Add(time.Duration(slot)*Slot), reported)
	}
	clear(reported)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / float64(most*slotsKept)
	t.Logf("%.1f bytes for a flow and slot", each)
	if each > 120 {
		t.Errorf("%.1f bytes for a flow and slot", each)
	}
	runtime.KeepAlive(s)
}
