package main

import (
	"container/heap"
	"time"
)

// epoch is what simulated time counts from, for instruments that want a time.Time.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is simulated time, and what is to happen in it.
type clock struct {
	now    time.Duration
	events events
	count  uint64
}

// event is something that happens at a time. Of those at the same time the one that was scheduled first comes first.
type event struct {
	at    time.Duration
	order uint64
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = event{}
	*e = (*e)[:len(*e)-1]
	return last
}

// time is now as instruments want it.
func (c *clock) time() time.Time { return epoch.Add(c.now) }

// at has something happen at a time.
func (c *clock) at(when time.Duration, do func()) {
	c.count++
	heap.Push(&c.events, event{max(when, c.now), c.count, do})
}

// after has something happen after a time.
func (c *clock) after(d time.Duration, do func()) { c.at(c.now+d, do) }

// run lets time pass until the end.
func (c *clock) run(end time.Duration) {
	for len(c.events) > 0 && c.events[0].at < end {
		e := heap.Pop(&c.events).(event)
		c.now = e.at
		e.do()
	}
	c.now = end
}
