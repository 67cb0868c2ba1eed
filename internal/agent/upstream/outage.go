package upstream

import (
	"slices"
	"time"
)

// A host that a pool cannot connect to is left out for minOutage, then for twice as long each time, up to maxOutage.
const (
	minOutage = time.Second
	maxOutage = 8 * time.Second
)

// outage is that a pool cannot connect to a host. The zero value means that it can, as far as is known. It is guarded by the pool's
// lock.
type outage struct {
	lasts  time.Duration
	failed time.Time // when a connect failed last
	until  time.Time // when one call may find out whether it is over
}

// isDown reports whether the host is to be left out while there are others.
func (hc *hostConns) isDown(now time.Time) bool { return now.Before(hc.outage.until) }

// unconnected is noteUnconnected without the lock, and connected noteConnected.
func (p *Pool) unconnected(hc *hostConns, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteUnconnected(hc, now)
}

func (p *Pool) connected(hc *hostConns) {
	if !hc.unreachable.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteConnected(hc)
}

// noteUnconnected counts a connect that failed. Those that were under way together count as one. This and the functions below expect
// the lock.
func (p *Pool) noteUnconnected(hc *hostConns, now time.Time) {
	o := &hc.outage
	switch {
	case !hc.listed && p.set.name == nil || hc.host.departed.Load():
		return // there is no other one
	case o.lasts == 0:
		o.lasts = minOutage
		hc.unreachable.Store(true)
		p.down = append(p.down, hc)
	case now.Sub(o.failed) < o.lasts/2:
		return
	default:
		o.lasts = min(2*o.lasts, maxOutage)
	}
	o.failed, o.until = now, now.Add(o.lasts)
	p.changed = true // where none can be reached, all may be chosen
}

// noteTrial has one call at a time find out whether an outage is over.
func (p *Pool) noteTrial(hc *hostConns, now time.Time) {
	if hc.outage.lasts > 0 {
		hc.outage.until = now.Add(hc.outage.lasts)
		p.changed = true
	}
}

// remembered reports whether what is known of an outage still matters.
func (o *outage) remembered(now time.Time) bool {
	return o.lasts > 0 && now.Before(o.until.Add(o.lasts))
}

// noteConnected ends an outage: the host is there.
func (p *Pool) noteConnected(hc *hostConns) {
	if hc.outage.lasts == 0 {
		return
	}
	hc.outage = outage{}
	hc.unreachable.Store(false)
	p.changed = true
	p.down = slices.DeleteFunc(p.down, func(d *hostConns) bool { return d == hc })
}

// outageOver reports whether a host may be tried again that was left out when all were looked at last.
func (p *Pool) outageOver(now time.Time) bool {
	return slices.ContainsFunc(p.down, func(hc *hostConns) bool {
		return hc.outage.until.After(p.lookedAll) && !hc.isDown(now)
	})
}
