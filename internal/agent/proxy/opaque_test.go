package proxy

import (
	"io"
	"strings"
	"testing"
	"time"
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

// What a connection carries is counted while it goes on, once.
func TestConnectionsPassedThroughAreCountedWhileTheyGoOn(t *testing.T) {
	for name, opening := range map[string]string{"few bytes": aLine, "many bytes": strings.Repeat("0123456789abcde\n", 1000)} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), declaredTCP(nil))
			seen, n := &w.seen.opaque, int64(len(opening))
			c := w.dial()
			c.send(opening)
			if _, err := io.ReadFull(c.r, make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			again := time.NewTicker(time.Millisecond)
			defer again.Stop()
			for limit := time.Now().Add(time.Minute); seen.received.Load() < n; <-again.C { // on a slow machine they are counted in parts, 15 s apart
				if time.Now().After(limit) {
					t.Fatalf("%d bytes received of %d", seen.received.Load(), n)
				}
			}
			if o, e, sent := seen.opened.Load(), seen.closed.Load(), seen.sent.Load(); o != 1 || e != 0 || sent != n {
				t.Errorf("%d opened, %d closed, %d bytes sent", o, e, sent)
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if !c.reachedBy("more\n") {
				t.Fatal("it was reset")
			}
			c.Close()
			w.seen.waitFor(t, func() bool { return seen.closed.Load() == 1 })
			if sent, received := seen.sent.Load(), seen.received.Load(); sent != n+5 || received != n+5 {
				t.Errorf("%d bytes sent, %d received, want %d", sent, received, n+5)
			}
		})
	}
}
