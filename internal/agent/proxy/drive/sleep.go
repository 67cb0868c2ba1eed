package drive

import "time"

// Woke is why a sleep ended.
type Woke uint8

// The reasons.
const (
	TimeUp Woke = iota
	Woken
	ClientLeft
)

// Sleep waits until a time (zero: for ever), until ready fires or until the client leaves.
func (x *Exchange) Sleep(until time.Time, ready <-chan struct{}) Woke {
	look := FirstCheck
	for {
		wait := look
		if !until.IsZero() {
			wait = min(wait, until.Sub(x.Now))
		}
		if x.timer == nil {
			x.timer = time.NewTimer(wait)
		} else {
			x.timer.Reset(wait)
		}
		select {
		case <-ready:
			x.timer.Stop()
			x.Now = time.Now()
			return Woken
		case <-x.timer.C:
		}
		x.Now = time.Now()
		if Passed(until, x.Now) {
			return TimeUp
		}
		if x.Client.Left() {
			return ClientLeft
		}
		look = min(2*look, MaxCheck)
	}
}
