package resilience

import "time"

// Waiter is a call at one gate. The gate knows it by its address, from the first Enter to Leave.
type Waiter struct {
	// Wake is called when a parked call may ask again. It does not block and may be called from any goroutine.
	Wake func()
}

// Entry is a gate's answer.
type Entry struct {
	Verdict Verdict
	// Until is when to ask again: for Wait always, for Park if nobody woke the waiter before; zero means never.
	Until time.Time
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
