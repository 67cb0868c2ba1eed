package upstream

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits for a place is served when an endpoint that could not be reached is tried again, though nobody gives a place back; and
// before those who come later.
func TestRule25_WaitersAreServedWhenAnEndpointIsTriedAgain(t *testing.T) {
	for name, happens := range map[string]func(*Pool){
		"a sweep": func(p *Pool) { p.sweep(time.Now()) },
		"a newcomer": func(p *Pool) {
			if r := request(); r.ask(p) != Parked {
				t.Error("the newcomer was served first")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, d := newPool(t, func(o *setup) { o.Limits.MaxConnectionsPerEndpoint, o.Limits.MaxPending = 1, 2 }, addresses(2)...)
				d.err = syscall.ECONNREFUSED
				first, failing, waiting := request(), request(), request()
				if !first.granted(p) || !failing.granted(p) {
					t.Fatal("not granted")
				}
				if _, err := p.Dial(t.Context(), &failing.Request); err == nil {
					t.Fatal("connected")
				}
				if waiting.ask(p) != Parked {
					t.Fatal("not queued")
				}
				time.Sleep(minOutage) // of the bubble's clock
				happens(p)
				select {
				case <-waiting.woken:
				default:
					t.Error("still waiting")
				}
				waiting.cancel(p)
				first.cancel(p)
			})
		})
	}
}
