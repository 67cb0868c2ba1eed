package soak

import (
	"math/rand/v2"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/controller/verdicts"
	"fairlead.dev/fairlead/internal/policy"
)

// cluster is two nodes that share breakers, and what a manager does for that: it hears how the nodes see the destination, and has them open and close.
type cluster struct {
	round  *round
	second running

	done, ended chan struct{}
	stopOnce    sync.Once

	// of the manager
	number  uint64
	known   map[policy.BreakerKey]*verdicts.Breaker
	sent    map[policy.BreakerKey]uint64 // the revision that nodes have got
	reports [2]map[policy.BreakerKey]policy.BreakerReport
	open    []span // times in which the cluster had the circuit not closed, for certain
}

// managerTick is how often nodes report.
const managerTick = 20 * time.Millisecond

func newCluster(r *round) *cluster {
	c := &cluster{
		round: r, done: make(chan struct{}), ended: make(chan struct{}),
		known: map[policy.BreakerKey]*verdicts.Breaker{}, sent: map[policy.BreakerKey]uint64{},
	}
	for i := range c.reports {
		c.reports[i] = map[policy.BreakerKey]policy.BreakerReport{}
	}
	return c
}

func (c *cluster) start() {
	go func() {
		defer close(c.ended)
		tick := time.NewTicker(managerTick)
		defer tick.Stop()
		for {
			select {
			case <-c.done:
				return
			case <-tick.C:
				c.manage(time.Now())
			}
		}
	}()
}

func (c *cluster) stop() {
	c.stopOnce.Do(func() { close(c.done) })
	<-c.ended
}

// tables are the nodes' own.
func (c *cluster) tables() [2]*routes.Table {
	return [2]*routes.Table{c.round.a.table, c.second.a.table}
}

func member(node int) verdicts.Member {
	return verdicts.Member{Node: string(rune('a' + node)), Agent: "agent"}
}

// manage takes in what has changed at the nodes, and has them do what comes of it.
func (c *cluster) manage(now time.Time) {
	for node, table := range c.tables() {
		for _, is := range table.BreakerReports(now) {
			if c.reports[node][is.Key] == is {
				continue
			}
			c.reports[node][is.Key] = is
			b := c.known[is.Key]
			if b == nil {
				b = verdicts.New(c.round.fixed.breaker, now, func() uint64 { c.number++; return c.number }, rand.Float64)
				c.known[is.Key] = b
			}
			b.Report(now, member(node), is.View, is.Number)
		}
	}
	for key, b := range c.known {
		b.Tick(now)
		if rev := b.Revision(); rev != c.sent[key] {
			c.sent[key] = rev
			c.order(now, key, b)
		}
	}
}

// order has the nodes do what was decided, and notes from when on the circuit is open everywhere, and until when.
func (c *cluster) order(now time.Time, key policy.BreakerKey, b *verdicts.Breaker) {
	if last := len(c.open) - 1; b.Closed() && last >= 0 && c.open[last].to.IsZero() {
		c.open[last].to = now
	}
	for node, table := range c.tables() {
		table.ObeyBreakers(now, []policy.BreakerVerdict{withKey(b.Verdict(now, member(node)), key)})
	}
	if last := len(c.open) - 1; !b.Closed() && (last < 0 || !c.open[last].to.IsZero()) {
		c.open = append(c.open, span{from: time.Now()})
	}
}

func withKey(v policy.BreakerVerdict, key policy.BreakerKey) policy.BreakerVerdict {
	v.Key = key
	return v
}

// checkCluster: while the cluster has a circuit open no more probes are under way than one node may have; one node alone that sees failures keeps no other
// from calling; and what all nodes see down is opened.
func (r *round) checkCluster() {
	if r.cluster == nil {
		return
	}
	c := &circuit{round: r, breaker: r.fixed.breaker, calls: r.accounts}
	if r.fixed.sick {
		for _, a := range r.accounts {
			if a.pod == 0 {
				continue
			}
			if r.covers("a circuit of the cluster had to let a well node's call pass"); a.reason == "circuit_open" || a.backup && len(a.receipts) == 0 {
				r.doubt(a, "it was rejected, and all calls of its node succeed")
				return
			}
		}
		return
	}
	for _, open := range r.cluster.open {
		var probes []*probe
		for _, p := range c.probesSince(open.from) {
			if open.to.IsZero() || p.answers.Before(open.to) {
				probes = append(probes, p)
			}
		}
		for range probes {
			r.covers("a probe of the cluster was counted")
		}
		c.checkAtOnce(probes)
	}
	if r.sawOutage() {
		if r.covers("the cluster had to open a circuit"); len(r.cluster.open) == 0 {
			r.suspicion("all servers failed for %v, and the cluster has opened no circuit", r.outage.to.Sub(r.outage.from))
		}
	}
}

// sawOutage reports whether the circuits of both nodes have opened for certain long before servers were back.
func (r *round) sawOutage() bool {
	for _, calls := range r.groups(policy.SharePod) {
		c := &circuit{round: r, breaker: r.fixed.breaker, calls: calls}
		opened, late := c.openSince(), r.lag.worst(r.outage.from, r.outage.to)
		if opened.IsZero() || r.outage.to.Sub(opened) < 400*time.Millisecond+3*late {
			return false
		}
	}
	return true
}
