package capture

import (
	"net/netip"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// recountOlder is how long passes between two counts of connections that are older than their policy, while there are any.
	recountOlder = 30 * time.Second
	// recountAddresses is how long passes before they are counted again because Services have other addresses, which happens all the time.
	recountAddresses = 5 * time.Minute
	// never is when they are counted again where there were none.
	never = 100 * 365 * 24 * time.Hour
	// rewrittenFor is for how long a notice says that a pod's rules had to be written again.
	rewrittenFor = 5 * time.Minute
)

// inspection is what is looked for in a captured pod from time to time. It is used by the podCapture's own goroutine.
type inspection struct {
	findings  findings
	next      time.Time       // when to look again
	recount   time.Time       // when to count older connections again although there were none
	redirect  intent.Redirect // what is redirected
	rewritten time.Time       // when the rules were found changed the last time
	quic      quicFlows
}

// findings are what was found. Their maps and lists are never changed.
type findings struct {
	foreign   []string
	older     map[policy.ID]int
	olderAll  int
	olderTo   []netip.AddrPort // some of where they go, each once, sorted
	rewritten bool
	quic      bool // some calls were made over QUIC
}

// inspectSoon has everything looked at again at once.
func (i *inspection) inspectSoon() { i.next = time.Time{} }

// inspectAll has everything looked at and counted again when the pod is captured again: for a while connections were not redirected.
func (i *inspection) inspectAll() { i.next, i.recount = time.Time{}, time.Time{} }

// redirectChanged has connections counted again because other ones are redirected from now on.
func (i *inspection) redirectChanged(r intent.Redirect) {
	before := i.redirect
	i.redirect = r
	r.Addrs, r.Unserved, r.FailClosed = before.Addrs, before.Unserved, before.FailClosed
	if !before.Equal(r) {
		i.inspectAll()
	} else if soon := time.Now().Add(recountAddresses); i.recount.After(soon) {
		i.recount = soon
	}
}

// pause is how long to wait for the next inspection, at most most.
func (i *inspection) pause(most time.Duration) time.Duration {
	return max(min(most, time.Until(i.next)), time.Millisecond)
}

// inspect looks for what a captured pod has that its policies' authors should know of. An inspection that fails changes nothing; the next one follows.
//
// Counting connections walks over all sockets of the node, so it is done when a pod is captured or something else is redirected, and again
// only while there are any to count: where there were none there will be none.
func (p *podCapture) inspect(g goal) {
	i, now := &p.inspection, time.Now()
	i.findings.rewritten = !i.rewritten.IsZero() && now.Sub(i.rewritten) < rewrittenFor
	if now.Before(i.next) {
		return
	}
	i.next = now.Add(inspectInterval)
	if found, err := p.attached.Foreign(); err == nil {
		i.findings.foreign = found
		p.foreign.Store(len(found) > 0)
	}
	p.inspectQUIC(g, now)
	if i.findings.olderAll == 0 && now.Before(i.recount) {
		return
	}
	if older, err := p.older(g.spec.Redirect); err == nil {
		i.findings.olderAll, i.findings.older, i.findings.olderTo = len(older), g.spec.attribute(older), someOf(older)
		i.recount = now.Add(never)
	}
	if i.findings.olderAll > 0 {
		i.next = now.Add(recountOlder)
	}
}
