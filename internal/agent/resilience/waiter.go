package resilience

import "time"

// Waiter is a call at one gate. The gate knows it by its address, from the first Enter to Leave.
type Waiter struct {
	// Wake is called when a parked call may ask again. It does not block and may be called from any goroutine.
	Wake func()

	// The rest belongs to the gate, and is guarded by its lock.
	queue      *podQueue // where it waits; nil: it does not
	next, prev *Waiter   // in the queue
	until      int64     // when it gives up
	armed      int64     // when it asks again by itself
	hold       hold
}

// hold is what a waiter has of a limit of concurrency.
type hold uint8

const (
	holdsNothing hold = iota
	holdsPlace        // it runs
	wasGranted        // it has a place, and has not come for it yet
	wasEvicted        // it has lost its place in the queue, and does not know yet
)

func (w *Waiter) wake() {
	if w.Wake != nil {
		w.Wake()
	}
}

// Entry is a gate's answer.
type Entry struct {
	Verdict Verdict
	// Until is when to ask again: for Wait always, for Park if nobody woke the waiter before; zero means never.
	Until time.Time
	// Expected is when a parked waiter will pass if nothing changes; zero: that is not known.
	Expected time.Time
	// RetryAfter is after how long a call that is refused would be let in, as far as that is known.
	RetryAfter time.Duration
}

// Verdict reports whether a call may pass a gate.
type Verdict uint8

const (
	// Pass: the call goes on.
	Pass Verdict = iota
	// Wait: the call has a reservation for Until.
	Wait
	// Park: the call waits until it is woken.
	Park
	// Refuse: the call is rejected; the waiter has left.
	Refuse
)
