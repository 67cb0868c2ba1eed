package proxy

import (
	"io"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// Whoever declares TCP, or speaks TLS, has no calls to see. What there is to see are connections and their bytes.
func TestConnectionsPassedThroughAreCounted(t *testing.T) {
	b := toAny(nil)
	b.To.Protocol = policy.ProtocolTCP
	w := build(t, serve(t, func(_ int, p *peer) { _, _ = io.Copy(p, p.r) }), b)
	seen := &w.seen.opaque
	c := w.dial()
	c.send("six by")
	if _, err := io.ReadFull(c.r, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if o, e := seen.opened.Load(), seen.closed.Load(); o != 1 || e != 0 {
		t.Errorf("%d opened and %d closed while it is open", o, e)
	}
	c.Close()
	w.seen.waitFor(t, func() bool { return seen.closed.Load() == 1 })
	if o, sent, received := seen.opened.Load(), seen.sent.Load(), seen.received.Load(); o != 1 || sent != 6 || received != 6 {
		t.Errorf("%d opened, %d bytes sent, %d received", o, sent, received)
	}
}
