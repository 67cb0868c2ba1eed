package upstream

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Reconfigure puts new limits in force. Of the connections above a lowered limit, idle ones are closed at once, others when their
// exchange ends.
func (p *Pool) Reconfigure(limits policy.Pool) {
	now := time.Now()
	p.change(func() []*Conn {
		if p.limits == limits {
			return nil
		}
		streams := p.limits.MaxStreams != limits.MaxStreams
		p.limits = limits
		closing := p.sync()
		if streams {
			p.eachHost(p.recountAll)
		}
		for _, hc := range slices.Clone(p.withIdle) {
			closing = p.evictOldest(hc, min(len(hc.idle), p.surplus(hc)), closing)
		}
		return p.grantParked(now, nil, closing)
	})
}

// surplus is how many connections to a host would have to go for the limits to hold, as after they were lowered.
func (p *Pool) surplus(hc *hostConns) (n int) {
	if limit := p.limits.MaxConnections; limit > 0 {
		n = p.open - limit
	}
	if limit := p.limits.MaxConnectionsPerEndpoint; limit > 0 {
		n = max(n, hc.open-limit)
	}
	return n
}

// tooMany reports whether more connections are open than a limit allows.
func (p *Pool) tooMany(hc *hostConns) bool { return p.surplus(hc) > 0 }

// Close closes what is idle and has the rest closed when its exchange ends. A closed pool still serves those who hold it, with
// a new connection for every call.
func (p *Pool) Close() {
	now := time.Now()
	p.change(func() []*Conn {
		p.closed = true
		p.eachHost(p.stopSharing)
		return p.grantParked(now, nil, p.evictAll(nil))
	})
}

// eachHost calls f with the connections to each host.
func (p *Pool) eachHost(f func(*hostConns)) {
	for _, hc := range p.listed {
		if hc != nil {
			f(hc)
		}
	}
	for _, hc := range p.unlisted {
		f(hc)
	}
}

// stopSharing has no more exchanges begin on connections that carry some already.
func (p *Pool) stopSharing(hc *hostConns) {
	for len(hc.shared) > 0 {
		p.share(hc.shared[0])
	}
}

// CloseIdle closes the idle connections; the pool goes on.
func (p *Pool) CloseIdle() {
	p.change(func() []*Conn { return p.evictAll(nil) })
}
