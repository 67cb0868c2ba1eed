package proxy

import (
	"io"
	"time"
)

// maxKept bounds how much of a kept response's body is taken over so that its connection is free.
const maxKept = 64 << 10

// keep holds on to the response just reported, which may be the last real one (semantics rule 10), and makes the other attempt
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
	t.collect(time.Time{})
}

// collect takes over what has arrived of a kept response, or arrives until a time. When that is all, the connection goes back
// to the pool at once.
func (t *attempt) collect(until time.Time) {
	t.line.nowait = until.IsZero()
	t.line.now, t.line.until = t.x.now, until
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
	keep := t.response.KeepAlive && t.x.upload.sentAll && t.err == nil && len(t.line.reader.Buffered()) == 0
	c.Attachment = nil // the line, whose reader holds the response, stays here
	c.Done(keep, t.x.now)
}
