package h2

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// An attempt that has begun on a connection hears of its server's end, however soon that comes: there is no moment in which it has begun
// and would not.
func TestRule25_WhoHasBegunHearsOfTheServersEnd(t *testing.T) {
	d := New(Options{})
	for name, pinned := range map[string]bool{"pinned": true, "balanced": false} {
		t.Run(name, func(t *testing.T) {
			s, u := d.bare(t), d.bareServer(t)
			x := newStream(s)
			x.id, x.pinned, x.ended, x.cur = 1, pinned, true, &x.attempts[0]
			x.head.Add(":method", "GET")
			var b batch
			if !x.cur.take(upstream.Lease{Conn: u.conn}, call.Action{}, time.Now(), &b) {
				t.Fatal("the connection took no attempt")
			}
			if _, tied := u.pinned[s]; tied != pinned {
				t.Errorf("tied: %v", tied)
			}
			u.leaving = true
			other := newStream(d.bare(t))
			other.pinned, other.cur = true, &other.attempts[0]
			if other.cur.take(upstream.Lease{Conn: u.conn}, call.Action{}, time.Now(), &b) || len(u.pinned) > 1 {
				t.Error("a connection that takes nothing any more ties a client")
			}
		})
	}
}
