package h1

import (
	"io"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// maxKept bounds how much of a kept response's body is taken over so that its connection is free.
const maxKept = 64 << 10

// keepResponse keeps the response just reported, which may be the last real one (rule 10), and makes the other attempt
// the one under way.
func (x *exchange) keepResponse() {
	x.DropKept()
	x.kept = x.cur
	x.cur = x.spareAttempt()
	t := x.kept
	t.spill = t.spill[:0]
	if t.ready, _ = t.body.Ready(); !t.body.Done() { // an error comes again
		t.spill = append(t.spill, t.ready...)
	}
	t.collect()
}

// DropKept implements drive.Kept.
func (x *exchange) DropKept() {
	if x.kept != nil {
		x.kept.drop()
		x.kept = nil
	}
}

// KeptConn implements drive.Kept.
func (x *exchange) KeptConn() bool { return x.kept != nil && x.kept.Lease.Conn != nil }

// CollectKept implements drive.Kept.
func (x *exchange) CollectKept() { x.kept.collect() }

// KeptTooLarge implements drive.Kept.
func (x *exchange) KeptTooLarge() bool { return x.kept.tooLarge() }

// collect takes over what has arrived of a kept response. When that is all, the connection goes back to the pool at once.
func (t *attempt) collect() {
	t.in.noWait = true
	for !t.body.Done() && len(t.spill) < maxKept {
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

// tooLarge reports whether a kept response is larger than what is taken over.
func (t *attempt) tooLarge() bool {
	return len(t.spill) >= maxKept || t.response.Framing == http1.ContentLength && t.response.Length > maxKept
}
