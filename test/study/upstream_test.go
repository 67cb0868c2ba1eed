package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// flood sends requests at once, and returns in which order they were answered with which status.
func flood(m upstreamModel, n int) (order []int, statuses map[int]int, took time.Duration) {
	c := &clock{}
	u := &upstream{upstreamModel: m, clock: c, random: rand.New(rand.NewPCG(1, 1))}
	statuses = map[int]int{}
	for i := range n {
		u.send(func(status int) {
			order = append(order, i)
			statuses[status]++
			took = c.now
		})
	}
	c.run(time.Hour)
	return order, statuses, took
}

// One server serves one request at a time, first come first served; all together serve as many in a second as the model says.
func TestTheUpstreamServesInTurn(t *testing.T) {
	m := models()[0]
	const n = 4000
	if _, statuses, took := flood(m, n); statuses[statusOK] != n || took.Seconds() < 0.97*n/m.capacity() || took.Seconds() > 1.03*n/m.capacity() {
		t.Errorf("%d requests took %v with statuses %v; the capacity is %v", n, took, statuses, m.capacity())
	}
	m.servers = 1
	if order, _, _ := flood(m, n); !slices.IsSorted(order) || len(order) != n {
		t.Errorf("%d were answered, in turn: %v", len(order), slices.IsSorted(order))
	}
}

// An upstream that sheds load answers 503 to what has no place, and serves the rest.
func TestTheUpstreamShedsWhatHasNoPlace(t *testing.T) {
	m := models()[1]
	_, statuses, _ := flood(m, 4000)
	if places := m.servers + m.room; statuses[statusOK] != places || statuses[statusUnavailable] != 4000-places {
		t.Errorf("statuses %v, with %d places", statuses, places)
	}
}

// What happens at one time happens in the order in which it was scheduled, and nothing happens in the past.
func TestTheClockKeepsTheOrder(t *testing.T) {
	c := &clock{}
	var order []int
	for i := range 100 {
		c.at(time.Duration(i%3)*time.Second, func() {
			order = append(order, i%3*100+i)
			c.at(0, func() {
				if c.now < time.Duration(i%3)*time.Second {
					t.Errorf("at %v after %d s", c.now, i%3)
				}
			})
		})
	}
	c.run(time.Minute)
	if len(order) != 100 || !slices.IsSorted(order) {
		t.Errorf("order %v", order)
	}
}
