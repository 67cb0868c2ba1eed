package distribute

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestChangedProfilesAreNotifiedInBatches(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(shop)
		time.Sleep(time.Second)
		o.notified.take()
		for edit := range 20 {
			o.publish(func(b *Batch) { b.SetProfile(profileOf("p1", 10+edit)); b.SetProfile(profileOf("p2", 10+edit)) })
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		got := o.notified.take()
		if len(got) > 3 {
			t.Errorf("notified %d times", len(got))
		}
		if last := got[len(got)-1]; !slices.Equal(last, []string{"p1", "p2"}) {
			t.Errorf("last notified of %v", last)
		}
		o.publish(func(b *Batch) { b.SetDestination(service("shop/cart", 99)) })
		time.Sleep(time.Second)
		synctest.Wait()
		if got := o.notified.take(); got != nil {
			t.Errorf("an endpoint change was notified as %v", got)
		}
	})
}
