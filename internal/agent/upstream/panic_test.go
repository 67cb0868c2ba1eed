package upstream

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// A panic under the lock is that of one call: others find the lock free.
func TestAPanicUnderTheLockLeavesItFree(t *testing.T) {
	s := listen(t)
	for name, does := range map[string]func(*Pool, Lease){
		"release":     func(_ *Pool, l Lease) { l.Release(time.Now(), true) },
		"detach":      func(_ *Pool, l Lease) { l.Detach(time.Now()) },
		"reconfigure": func(p *Pool, _ Lease) { p.Reconfigure(policy.Pool{MaxConnections: 2}) },
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, func(s *setup) { s.Limits.MaxConnections, s.Limits.MaxPending = 1, 1 }, s.addr)
			r, waits := request(), request()
			if r.ask(p) != Dial {
				t.Fatal("not granted")
			}
			l := dial(t, p, r)
			waits.Wake = func() { panic("as the test asks") }
			if waits.ask(p) != Parked {
				t.Fatal("not parked")
			}
			func() {
				defer func() {
					if what := recover(); what != "as the test asks" {
						t.Errorf("got %v", what)
					}
				}()
				does(p, l)
			}()
			if !p.mu.TryLock() {
				t.Fatal("the lock is held")
			}
			p.mu.Unlock()
			waits.Wake = func() {}
			p.Cancel(time.Now(), &waits.Request)
			_ = l.Close()
		})
	}
}
