package proxy

import (
	"io"
	"testing"
)

// Whoever declares TCP, or speaks TLS, has no calls to see. What there is to see are connections and their bytes.
func TestConnectionsPassedThroughAreCounted(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), kind.bindings(nil)...)
			counted := int64(0)
			if kind.governed {
				counted = 1
			}
			seen, n := &w.seen.opaque, int64(len(kind.opening))
			c := w.dial()
			c.send(kind.opening)
			if _, err := io.ReadFull(c.r, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			if o, e := seen.opened.Load(), seen.closed.Load(); o != counted || e != 0 {
				t.Errorf("%d opened and %d closed while it is open", o, e)
			}
			c.Close()
			w.seen.waitFor(t, func() bool { return seen.closed.Load() == counted && w.server.Connections() == 0 })
			if o, sent, received := seen.opened.Load(), seen.sent.Load(), seen.received.Load(); o != counted || sent != counted*n || received != counted*n {
				t.Errorf("%d opened, %d bytes sent, %d received", o, sent, received)
			}
		})
	}
}
