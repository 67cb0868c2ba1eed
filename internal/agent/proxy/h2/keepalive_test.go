package h2

import (
	"testing"
	"time"
)

// A panic of the timer's goroutine is reported, and ends its connection alone.
func TestAPanicInATickEndsTheConnection(t *testing.T) {
	var what any
	u := New(Options{Panicked: func(_ string, w any, _ []byte) { what = w }}).bareServer(t)
	u.attempts[1] = holder{}
	u.out.mu = nil // so that sending fails as a mistake of ours would
	p := pinger{u: u, interval: time.Nanosecond, timeout: time.Hour, born: time.Now()}
	p.tick()
	if what == nil || !u.conn.Interrupted() {
		t.Errorf("the panic was %v, the connection interrupted: %v", what, u.conn.Interrupted())
	}
	p.stop() // takes its lock
}
