package proxy

import (
	"io"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

const (
	// maxKept bounds how much of a kept response's body is taken over so that its connection is free.
	maxKept = 64 << 10
	// keptWait is how long a retry waits for the rest of a kept response that holds the place it needs, and keptStep how often it
	// looks whether that has come.
	keptWait = 100 * time.Millisecond
	keptStep = 10 * time.Millisecond
)

// keep holds on to the response just reported, which may be the last real one (rule 10), and makes the other attempt
// the one under way.
func (x *exchange) keep() {
	x.dropKept()
	x.kept = x.cur
	x.cur = &x.tries[0]
	if x.kept == x.cur {
		x.cur = &x.tries[1]
	}
	t := x.kept
	t.stash = t.stash[:0]
	if t.ready, _ = t.body.Ready(); !t.body.Done() { // an error comes again
		t.stash = append(t.stash, t.ready...)
	}
	t.collect()
}

// collect takes over what has arrived of a kept response. When that is all, the connection goes back to the pool at once.
func (t *attempt) collect() {
	t.line.nowait = true
	for !t.body.Done() && len(t.stash) < maxKept {
		p, err := t.body.Next()
		if err != nil && err != io.EOF { //nolint:errorlint // Next returns io.EOF itself
			break
		}
		t.stash = append(t.stash, p...)
		t.ready = t.stash
	}
	t.line.nowait = false
	if !t.body.Done() {
		t.ready = t.stash
		return
	}
	t.all = true
	c := t.conn
	t.conn = nil
	keep := t.reusable() && t.line.quiet()
	c.Attachment = nil // the line, whose reader holds the response, stays here
	t.limitIdle(c)
	c.Release(keep, t.x.now)
}

// tooLarge reports whether the rest of a kept response will not be taken over.
func (t *attempt) tooLarge() bool {
	return len(t.stash) >= maxKept || t.response.Framing == http1.ContentLength && t.response.Length > maxKept
}

// makeWay sees to it that a kept response does not hold the place that the retry waits for: it is taken over if that is soon done,
// and given up otherwise. It returns timeUp when that is settled, with the time not necessarily up.
func (x *exchange) makeWay(until time.Time) woke {
	patience := x.now.Add(keptWait)
	for x.kept != nil && x.kept.conn != nil {
		x.kept.collect()
		switch {
		case x.kept.conn == nil:
		case x.kept.tooLarge() || passed(patience, x.now) || passed(until, x.now):
			x.dropKept()
			x.call.KeptLost()
		default:
			if why := x.sleep(earlier(until, x.now.Add(keptStep)), x.ticket.Ready()); why != timeUp {
				return why
			}
		}
	}
	return timeUp
}
