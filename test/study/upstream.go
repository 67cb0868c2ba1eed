package main

import (
	"math/rand/v2"
	"time"
)

// What an upstream answers with.
const statusOK, statusUnavailable = 200, 503

// upstreamModel is what is known of an upstream.
type upstreamModel struct {
	name, title string
	servers     int           // requests that are served at once
	service     time.Duration // how long one is served on average
	room        int           // requests that may wait; those beyond are answered with 503 after shedding. 0: any number
	shedding    time.Duration
}

// capacity is how many requests it can serve in a second.
func (m *upstreamModel) capacity() float64 { return float64(m.servers) / m.service.Seconds() }

// upstream serves some requests at once, first come first served, and lets the others wait. It does not notice who has gone: a request whose
// caller has given up is served like any other, and that is what ruins a queue.
type upstream struct {
	upstreamModel
	clock   *clock
	random  *rand.Rand
	busy    int
	waiting []func(status int)
	served  int // of waiting, how many are not there any more
}

// send brings a request. answered is called with the status when its answer is there, whether or not anybody waits for it.
func (u *upstream) send(answered func(status int)) {
	switch {
	case u.busy < u.servers:
		u.serve(answered)
	case u.room > 0 && u.queued() >= u.room:
		u.clock.after(u.shedding, func() { answered(statusUnavailable) })
	default:
		u.waiting = append(u.waiting, answered)
	}
}

// queued is how many requests wait.
func (u *upstream) queued() int { return len(u.waiting) - u.served }

// serve has a free server take a request. It takes half of the average at least, and the rest is exponential.
func (u *upstream) serve(answered func(status int)) {
	u.busy++
	took := time.Duration((0.5 + 0.5*u.random.ExpFloat64()) * float64(u.service))
	u.clock.after(took, func() {
		u.busy--
		if u.queued() > 0 {
			next := u.waiting[u.served]
			u.waiting[u.served] = nil
			u.served++
			u.serve(next)
		}
		answered(statusOK)
	})
}
