package h2

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// keptWait is how long a retry waits for the rest of a kept response whose connection it needs.
const keptWait = 100 * time.Millisecond

// keepResponse keeps the response just reported, which may be the last real one (rule 10), and makes the other attempt the one under way.
// What comes of it is kept as far as the windows allow.
func (x *stream) keepResponse(b *batch) {
	if x.kept != nil {
		x.kept.drop(http2.Cancel, x.s.now, b)
	}
	x.kept = x.cur
	x.next()
	x.keptEnds(b)
}

// keptEnds gives up the stream and the connection of the kept response once that is complete: the retry may need them. Where the client holds its
// body back for a 100 (Continue), the request on that stream never comes to its end.
func (x *stream) keptEnds(b *batch) {
	t := x.kept
	if t == nil || !t.ended || t.Lease.Conn == nil {
		return
	}
	t.leave(http2.Cancel, b)
	l := t.Lease
	t.Lease = upstream.Lease{}
	l.Release(x.s.now, true)
}

// keptLost gives up the kept response, which occupies a connection for too long.
func (x *stream) keptLost(b *batch) {
	x.keptBy = time.Time{}
	if t := x.kept; t != nil && t.Lease.Conn != nil {
		x.kept = nil
		t.drop(http2.Cancel, x.s.now, b)
		x.call.KeptLost()
	}
}
