package proxy

import (
	"errors"
	"os"
	"time"
)

// errClientLeft ends the sending of a request that nobody waits for any more.
var errClientLeft = errors.New("proxy: the client has left")

// Write implements io.Writer for the request's bytes. An upstream that takes them slowly has until t.until for all of them, and
// t.stall whenever it takes nothing; meanwhile somebody looks whether the client is still there (semantics rules 1, 2 and 4).
func (t *attempt) Write(p []byte) (int, error) {
	n, err := t.conn.TryWrite(p)
	if err != nil || n == len(p) {
		return n, err
	}
	rest, err := t.writeSlowly(p[n:])
	return n + rest, err
}

func (t *attempt) writeSlowly(p []byte) (done int, err error) {
	now := time.Now()
	moved := now
	for look := firstLook; ; look = min(2*look, maxLook) {
		n, err := t.conn.WriteBy(p[done:], earlier(t.until, now.Add(look)))
		done += n
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return done, err
		}
		now = time.Now()
		if n > 0 {
			moved = now
		}
		switch {
		case passed(t.until, now), t.stall > 0 && now.Sub(moved) >= t.stall:
			return done, os.ErrDeadlineExceeded
		case t.x.s.left():
			return done, errClientLeft
		}
	}
}
