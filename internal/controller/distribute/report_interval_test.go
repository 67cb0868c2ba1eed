package distribute

import (
	"fmt"
	"testing"
	"time"
)

func TestTheIntervalOfReportsGrowsWithWhatIsReported(t *testing.T) {
	for _, tc := range []struct {
		load int
		want time.Duration
	}{
		{0, 5 * time.Second},
		{-1, 5 * time.Second},
		{100_000, 5 * time.Second},
		{100_005, 10 * time.Second},
		{5000 * (loadPerNode + 29), 10 * time.Second},
		{300_000, 15 * time.Second},
		{400_000, 20 * time.Second},
		{1 << 40, 20 * time.Second},
	} {
		if got := intervalFor(tc.load); got != tc.want {
			t.Errorf("%d entries: every %s, want %s", tc.load, got, tc.want)
		}
	}
}

func TestTheLoadOfReportsIsThatOfWhatIsPublished(t *testing.T) {
	s := NewStore(StoreOptions{})
	want := func(step string, load int) {
		t.Helper()
		if s.reportLoad != load {
			t.Errorf("%s: a load of %d, want %d", step, s.reportLoad, load)
		}
	}
	publish := func(fill func(b *Batch)) {
		t.Helper()
		var b Batch
		fill(&b)
		if err := s.Publish(&b); err != nil {
			t.Fatal(err)
		}
	}
	publish(func(b *Batch) {
		for n := range 10 {
			b.SetWorkload(fmt.Sprint("n", n), pod(fmt.Sprint(n), "p"))
		}
	})
	want("pods without a profile", 10*loadPerNode)
	publish(func(b *Batch) { b.SetProfile(profileOf("p", 1, "shop/cart", "shop/stock")) })
	want("a profile of two destinations", 10*(loadPerNode+2))
	publish(func(b *Batch) { b.SetProfile(profileOf("p", 1, "shop/cart")) })
	want("one of them gone", 10*(loadPerNode+1))
	publish(func(b *Batch) { b.RemoveWorkload("0") })
	want("a pod gone", 9*(loadPerNode+1))
	publish(func(b *Batch) { b.RemoveProfile("p") })
	want("the profile gone", 9*loadPerNode)
	publish(func(b *Batch) {
		for n := range 10 {
			b.RemoveWorkload(fmt.Sprint(n))
		}
	})
	want("all gone", 0)
	if got := s.reportInterval(); got != bucketSpan {
		t.Errorf("every %s", got)
	}
}
