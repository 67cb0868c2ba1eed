package h1

import (
	"io"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// maxHeld bounds how much of a held response's body is taken over so that its connection is free.
const maxHeld = 64 << 10

// hold holds on to the response just reported, which may be the last real one (rule 10), and makes the other attempt
// the one under way.
func (x *exchange) hold() {
	x.DropHeld()
	x.held = x.cur
	x.cur = &x.attempts[0]
	if x.held == x.cur {
		x.cur = &x.attempts[1]
	}
	t := x.held
	t.spill = t.spill[:0]
	if t.ready, _ = t.body.Ready(); !t.body.Done() { // an error comes again
		t.spill = append(t.spill, t.ready...)
	}
	t.collect()
}

// DropHeld implements drive.Held.
func (x *exchange) DropHeld() {
	if x.held != nil {
		x.held.drop()
		x.held = nil
	}
}

// HeldConn implements drive.Held.
func (x *exchange) HeldConn() bool { return x.held != nil && x.held.Lease.Conn != nil }

// CollectHeld implements drive.Held.
func (x *exchange) CollectHeld() { x.held.collect() }

// HeldTooLarge implements drive.Held.
func (x *exchange) HeldTooLarge() bool { return x.held.tooLarge() }

// collect takes over what has arrived of a held response. When that is all, the connection goes back to the pool at once.
func (t *attempt) collect() {
	t.in.noWait = true
	for !t.body.Done() && len(t.spill) < maxHeld {
		p, err := t.body.Next()
		if err != nil && err != io.EOF { //nolint:errorlint // Next returns io.EOF itself
			break
		}
		t.spill = append(t.spill, p...)
		t.ready = t.spill
	}
	t.in.noWait = false
	if !t.body.Done() {
		t.ready = t.spill
		return
	}
	t.all = true
	c := t.Lease
	t.Lease = upstream.Lease{}
	keep := t.reusable() && t.in.clean()
	c.Attachment = nil // the line, whose reader holds the response, stays here
	t.limitIdle(c)
	c.Release(t.x.Now, keep)
}

// tooLarge reports whether a held response is larger than what is taken over.
func (t *attempt) tooLarge() bool {
	return len(t.spill) >= maxHeld || t.response.Framing == http1.ContentLength && t.response.Length > maxHeld
}
