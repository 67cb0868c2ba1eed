package upstream

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func TestRule25_ALoweredLimitHoldsForTheConnectionsThereAre(t *testing.T) {
	for name, tc := range map[string]struct{ lower func(*policy.Pool) }{
		"of the pool":     {func(l *policy.Pool) { l.MaxConnections = 2 }},
		"of the endpoint": {func(l *policy.Pool) { l.MaxConnectionsPerEndpoint = 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t)
			p, _ := newPool(t, nil, s.addr)
			var held []Lease
			for range 5 {
				held = append(held, take(t, p, request()))
			}
			// Three become idle, then the limit falls below what is open, then the others end.
			for _, c := range held[:3] {
				c.Release(time.Now(), true)
			}
			limits := policy.Defaults().Pool
			tc.lower(&limits)
			p.Reconfigure(limits)
			if got := p.Stats(); got.Idle != 0 || got.Active != 2 {
				t.Errorf("after the limit fell to 2 with 2 in use: %+v", got)
			}
			limits.MaxConnections = 1
			p.Reconfigure(limits)
			for _, c := range held[3:] {
				c.Release(time.Now(), true)
			}
			if got := p.Stats(); got.Idle != 1 || got.Active != 0 {
				t.Errorf("after the limit fell to 1 and both ended: %+v", got)
			}
		})
	}
}

func TestCloseIdleLeavesThePoolWorking(t *testing.T) {
	s := listen(t)
	p, d := newPool(t, nil, s.addr)
	a, b := take(t, p, request()), take(t, p, request())
	a.Release(time.Now(), true)
	p.CloseIdle()
	if got := p.Stats(); got != (Stats{Active: 1}) {
		t.Errorf("stats %+v, want the one in use", got)
	}
	b.Release(time.Now(), true)
	if c := take(t, p, request()); c.Conn != b.Conn || d.dials.Load() != 2 {
		t.Error("the pool does not keep connections any more")
	}
}
