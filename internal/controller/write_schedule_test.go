package controller

import (
	"context"
	"fmt"
	"github.com/google/go-cmp/cmp"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"fairlead.dev/fairlead/internal/policy"
)

func TestTurnsAreGivenToWhoHasWaitedLongest(t *testing.T) {
	s := newWriteSchedule(newWriteBudget(1, 1), newWriteBudget(2, 3))
	now := begin
	id := func(name string) policy.ID { return policy.ID{Namespace: "shop", Name: name} }
	next := func(want string) {
		t.Helper()
		got, wait, ok := s.next(now)
		if name := got.Name; !ok {
			if name = wait.String(); wait == never {
				name = "never"
			}
			if name != want {
				t.Errorf("nobody's turn for %s, want %s", name, want)
			}
		} else if name != want {
			t.Errorf("it is the turn of %s, want %s", name, want)
		}
	}
	next("never")
	s.schedule(id("late"), kindFigures, now.Add(-time.Second))
	s.schedule(id("early"), kindFigures, now.Add(-time.Minute))
	s.schedule(id("counts"), kindCounts, now)
	s.schedule(id("then"), kindFigures, now.Add(time.Hour))
	s.schedule(id("gone"), kindFigures, now.Add(-time.Hour))
	s.forget(id("gone"))
	next("early")
	next("counts")
	next("late")
	next("1h0m0s")
	s.schedule(id("then"), kindFigures, now)
	next("500.000001ms") // three writes at once, two a second
	for _, tc := range []struct {
		name string
		want bool
	}{{"then", false}, {"early", true}, {"early", false}} {
		if kind, turn := s.claim(id(tc.name)); turn != tc.want || turn && kind != kindFigures {
			t.Errorf("%s: turn %v, for %d", tc.name, turn, kind)
		}
	}
	s.refund(kindFigures) // there was nothing to write
	next("then")
	s.schedule(id("counts"), kindCounts, now.Add(time.Second)) // while it has the turn
	s.schedule(id("counts"), kindFigures, now)                 // counts are the more urgent
	next("1s")
	now = now.Add(time.Hour)
	next("counts")
	if n := s.size(); n != 3 {
		t.Errorf("%d policies are known, want late, then and counts", n)
	}
}

// The queues stay heaps, and every entry knows its position.
func TestScheduledWritesKnowTheirPosition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := newWriteSchedule(newWriteBudget(1e6, 1e6), newWriteBudget(1e6, 1e6))
	now := begin
	for range 20000 {
		id := policy.ID{Name: fmt.Sprint(random.IntN(40))}
		switch random.IntN(6) {
		case 0:
			s.claim(id)
		case 1:
			s.forget(id)
		case 2:
			now = now.Add(time.Millisecond * time.Duration(random.IntN(100)))
			if got, _, ok := s.next(now); ok && s.scheduled[got].due.After(now) {
				t.Fatal("a turn before it is due")
			}
		default:
			s.schedule(id, writeKind(random.IntN(int(writeKinds))), now.Add(time.Millisecond*time.Duration(random.IntN(1000)-500)))
		}
		waiting := 0
		for kind := range s.queues {
			for i, w := range s.queues[kind] {
				if w.position != i || int(w.kind) != kind || s.scheduled[w.id] != w || i > 0 && s.queues[kind].Less(i, (i-1)/2) {
					t.Fatalf("%+v is at position %d of queue %d", w, i, kind)
				}
				waiting++
			}
		}
		for _, w := range s.scheduled {
			if w.position < 0 {
				waiting++
			}
		}
		if waiting != len(s.scheduled) {
			t.Fatalf("%d policies are known and %d have an entry", len(s.scheduled), waiting)
		}
	}
}

func TestTurnsAreGivenAsTimeGoesBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWriteSchedule(newWriteBudget(1, 1), newWriteBudget(1, 1))
		given := make(chan policy.ID, 100)
		g := &scheduleRunner{schedule: s, clock: clock.RealClock{}, enqueue: func(ids []policy.ID) {
			for _, id := range ids {
				given <- id
			}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Start(ctx) }()
		began := time.Now()
		after := func(want time.Duration) {
			t.Helper()
			<-given
			if got := time.Since(began).Truncate(time.Millisecond); got != want {
				t.Errorf("a turn after %s, want %s", got, want)
			}
		}
		id := func(n int) policy.ID { return policy.ID{Name: fmt.Sprint(n)} }
		s.schedule(id(1), kindFigures, began.Add(10*time.Second))
		s.schedule(id(2), kindFigures, began.Add(5*time.Second)) // before the one that is waited for
		after(5 * time.Second)
		s.schedule(id(3), kindFigures, began)
		after(6 * time.Second)
		after(10 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Conditions have a budget of their own: neither do figures hold them up, nor the other way round. Where it is used up, whoever was written
// the longest ago comes first, and of those that never were whoever came first.
func TestConditionsHaveABudgetOfTheirOwn(t *testing.T) {
	s := newWriteSchedule(newWriteBudget(2, 2), newWriteBudget(1, 1))
	now := begin
	id := func(name string) policy.ID { return policy.ID{Namespace: "shop", Name: name} }
	if first, second, third := s.spendAtOnce(now), s.spendAtOnce(now), s.spendAtOnce(now); !first || !second || third {
		t.Fatal("two conditions may be written at once, and no third")
	}
	s.schedule(id("figures"), kindFigures, now)
	s.schedule(id("new"), kindConditions, time.Time{})
	s.schedule(id("flapping"), kindConditions, now)
	s.schedule(id("newer"), kindConditions, time.Time{})
	s.schedule(id("quiet"), kindConditions, now.Add(-time.Hour))
	s.schedule(id("new"), kindConditions, time.Time{}) // keeps its position
	s.schedule(id("quiet"), kindCounts, now)           // conditions are the more urgent
	var got []string
	for range 40 {
		for {
			next, _, ok := s.next(now)
			if !ok {
				break
			}
			got = append(got, next.Name)
			s.claim(next)
		}
		if len(s.queues[kindConditions]) > 0 && s.spendAtOnce(now) {
			t.Fatal("a condition is written before those that wait")
		}
		now = now.Add(100 * time.Millisecond)
	}
	if diff := cmp.Diff([]string{"figures", "new", "newer", "quiet", "flapping"}, got); diff != "" {
		t.Error(diff)
	}
}
