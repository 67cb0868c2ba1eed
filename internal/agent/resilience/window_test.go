package resilience

import (
	"math/rand/v2"
	"testing"
	"time"
)

// total is how many events the window that ends at a time has.
func (w *window) total(since time.Duration) int {
	tick := tickOf(since, w.step)
	return int(w.good.sum(tick) + w.bad.sum(tick))
}

func TestRule23_WindowSlidesWithoutCliffs(t *testing.T) {
	const span = 10 * time.Second
	w := newWindow(span, 50, 1)
	for i := range 1000 { // one event per 10 ms: all of the window
		w.count(time.Duration(i)*10*time.Millisecond, i%2 == 0, uint8(i))
	}
	before := w.total(span - 1)
	for at := span; at <= 2*span; at += time.Millisecond {
		now := w.total(at)
		if before-now > 100 {
			t.Fatalf("at %v %d events left at once, want at most a tenth of 1000", at, before-now)
		}
		before = now
	}
	if n := w.total(2 * span); n != 0 {
		t.Errorf("%d events left a whole window later", n)
	}
}

// The window agrees with a plain list of events at every moment, to within one slot.
// An event that comes so late that its slot counts later ones changes nothing of these.
func TestRule23_ALateEventIsLeftOut(t *testing.T) {
	var s slots
	s.add(5 + slotCount)
	s.add(5)
	s.take(5)
	if n := s.sum(5 + slotCount); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestRule23_WindowCountsLikeAList(t *testing.T) {
	const span = time.Second
	random := rand.New(rand.NewPCG(1, 1))
	w := newWindow(span, 50, 1)
	var times []time.Duration
	var now time.Duration
	for range 20000 {
		now += time.Duration(random.ExpFloat64() * float64(5*time.Millisecond))
		if random.IntN(1000) == 0 {
			now += time.Duration(random.Int64N(int64(3 * span)))
		}
		w.count(now, random.IntN(2) == 0, uint8(random.Uint32()))
		times = append(times, now)
		within := func(d time.Duration) (n int) {
			for i := len(times) - 1; i >= 0 && now-times[i] < d; i-- {
				n++
			}
			return n
		}
		least, most := within(span-span/slotCount), within(span)
		if got := w.total(now); got < least || got > most {
			t.Fatalf("%d events counted, want %d..%d", got, least, most)
		}
	}
}
