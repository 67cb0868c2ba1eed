package upstream

import "testing"

// What must not be sent twice begins on a connection whose server was heard just now, or that the same client used last, or on a new one.
func TestRule25_CarefulExchangesTakeConnectionsThatProvedAlive(t *testing.T) {
	later := 2 * provenFor
	for name, tc := range map[string]struct {
		client  uint64
		inUse   bool
		heard   bool
		limited bool
		same    bool // the connection that is there is taken
	}{
		"idle for long":                          {},
		"idle, and its server was heard":         {heard: true, same: true},
		"idle, and the same client's":            {client: 1, same: true},
		"in use, and silent":                     {inUse: true},
		"in use, and its server was heard":       {inUse: true, heard: true, same: true},
		"in use, and the same client's":          {client: 1, inUse: true, same: true},
		"in use, where there may be no new one":  {inUse: true, limited: true, same: true},
		"idle, where a new one may take a place": {limited: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newPool(t, func(o *setup) {
				if tc.limited {
					o.Limits.MaxConnections = 1
				}
			}, listen(t).addr)
			first := shared()
			first.Client = 1
			l := take(t, p, first)
			l.SetCapacity(10)
			now := l.born.Add(later)
			if !tc.inUse {
				l.Release(now, true)
			}
			if tc.heard {
				l.Heard(now)
			}
			r := shared()
			r.Careful, r.Client = true, tc.client
			a := r.askAt(p, now)
			if same := a == Ready && r.lease.Conn == l.Conn; same != tc.same || !same && a != Dial {
				t.Errorf("the answer is %d, the same connection: %v", a, same)
			}
			if a == Dial {
				dial(t, p, r).Release(now, true)
			} else {
				r.lease.Release(now, true)
			}
			checkSums(t, p)
			if r.Careful = false; r.askAt(p, now) != Ready {
				t.Error("one that may be sent again is to have a connection of its own")
			}
			r.lease.Release(now, true)
			if n := d.dials.Load(); n > 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
