package verdicts

import (
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// Patience is how long a node that was chosen to probe may be without a probe before another one is chosen.
	Patience = time.Second
	// Hold is how long nodes stay open beyond the open time without a word from the manager, and renewAfter when they get one.
	Hold       = 10 * time.Second
	renewAfter = 4 * time.Second
	// LeaderWaits is how long a new leader opens nothing: the nodes that would object may not have found it yet.
	LeaderWaits = 3 * time.Second
	// maxMembers bounds the nodes that one breaker hears: there are no more in a cluster that is supported.
	maxMembers = 10_000
)

// Member is an agent of a node. A node has two for a moment while its agent is upgraded.
type Member struct{ Node, Agent string }

// phase is where a breaker stands.
type phase uint8

const (
	closed phase = iota
	open
	halfOpen
)

// Breaker decides on one breaker. It is not safe for concurrent use.
//
// Every node has a breaker of its own, which opens by what that node sees, as with sharing Node. What all nodes see together opens the breaker
// everywhere (see votes). Then one node at a time finds out whether the destination is back.
type Breaker struct {
	cfg     policy.Breaker
	numbers func() uint64  // the next number of a decision
	random  func() float64 // in [0, 1)

	phase    phase
	number   uint64 // of the decision that led to the phase; 0: none
	revision uint64 // grows whenever nodes are to be sent something
	opensAt  time.Time
	until    time.Time     // the end of the open time
	openFor  time.Duration // of the open period under way or last, before jitter
	active   time.Time     // in half-open: when a node asked or probed last
	renewAt  time.Time
	members  map[Member]*member
	opened   int // members whose own breaker has opened

	prober     Member // who probes; the zero Member is none
	grant      uint64 // the number that it was sent
	grantedAt  time.Time
	lastChosen uint64 // counts choices
}

// member is what is known of an agent.
type member struct {
	view   policy.BreakerView
	number uint64 // reports with a smaller one are from before what it was sent
	chosen uint64 // when it was chosen to probe last
}

// New returns a closed breaker that opens at from at the earliest.
func New(cfg *policy.Breaker, from time.Time, numbers func() uint64, random func() float64) *Breaker {
	return &Breaker{cfg: *cfg, opensAt: from, numbers: numbers, random: random, members: map[Member]*member{}}
}

// Idle reports whether b can be forgotten: it is closed, and nobody has anything to say of it.
func (b *Breaker) Idle() bool { return b.phase == closed && len(b.members) == 0 }

// Due reports whether Tick may change something.
func (b *Breaker) Due() bool { return b.phase != closed || b.opened > 0 }

// Closed reports whether b is closed.
func (b *Breaker) Closed() bool { return b.phase == closed }

// Number is that of the last decision; 0: there was none.
func (b *Breaker) Number() uint64 { return b.number }

// Revision changes whenever nodes are to be sent what Verdict says.
func (b *Breaker) Revision() uint64 { return b.revision }

// Verdict returns what an agent is to do at now.
func (b *Breaker) Verdict(now time.Time, m Member) policy.BreakerVerdict {
	v := policy.BreakerVerdict{Number: b.number, Order: policy.BreakerClose}
	switch {
	case b.phase == closed:
	case b.phase == halfOpen && m == b.prober:
		v.Number, v.Order = b.grant, policy.BreakerProbe
	default:
		v.Order, v.For, v.Hold = policy.BreakerOpen, max(0, b.until.Sub(now)), Hold
	}
	return v
}

// Report takes in how an agent sees the destination.
func (b *Breaker) Report(now time.Time, from Member, view policy.BreakerView, number uint64) {
	m := b.members[from]
	if b.phase == closed && view == policy.BreakerIdle { // it has nothing to say, whatever it goes by
		b.remove(from)
		return
	}
	if m != nil && number < m.number {
		return
	}
	if m == nil {
		if view == policy.BreakerIdle || len(b.members) >= maxMembers {
			return
		}
		m = &member{}
		b.members[from] = m
	}
	b.see(m, view)
	switch b.phase {
	case closed:
		b.vote(now)
	case open:
	case halfOpen:
		b.heard(now, from, m, number)
	}
}

// Lost forgets an agent whose stream has ended.
func (b *Breaker) Lost(now time.Time, from Member) {
	b.remove(from)
	if b.phase == halfOpen && b.prober == from {
		b.prober = Member{}
		b.choose(now)
	}
}

func (b *Breaker) remove(from Member) {
	if m := b.members[from]; m != nil {
		b.see(m, policy.BreakerIdle)
		delete(b.members, from)
	}
}

// see notes how an agent sees the destination.
func (b *Breaker) see(m *member, view policy.BreakerView) {
	if voteOf(m.view) == votesOpened {
		b.opened--
	}
	if m.view = view; voteOf(view) == votesOpened {
		b.opened++
	}
}

// Tick does what is due.
func (b *Breaker) Tick(now time.Time) {
	switch b.phase {
	case closed:
		b.vote(now)
	case open:
		if !now.Before(b.until) {
			b.phase, b.active, b.prober = halfOpen, now, Member{}
			b.renewAt = b.until.Add(renewAfter)
			b.choose(now)
		}
	case halfOpen:
		b.wait(now)
	}
}

// wait is what time alone does to a half-open breaker.
func (b *Breaker) wait(now time.Time) {
	for at, m := range b.members {
		if m.view == policy.BreakerRefusing || at == b.prober && m.view == policy.BreakerProbing {
			b.active = now
		}
	}
	// Nobody calls any more: what opened the breaker is no longer known to be so, and a crowd that comes later is not to be rejected for it.
	if now.Sub(b.active) > 2*b.cfg.LongestOpen() {
		b.close(now)
		return
	}
	if now.Sub(b.grantedAt) > Patience {
		b.choose(now)
	}
	if !now.Before(b.renewAt) {
		b.renewAt = now.Add(renewAfter)
		b.revision++
	}
}

// heard is what a report does to a half-open breaker.
func (b *Breaker) heard(now time.Time, from Member, m *member, number uint64) {
	if from != b.prober {
		if m.view == policy.BreakerRefusing {
			b.active = now
			if b.prober == (Member{}) {
				b.choose(now)
			}
		}
		return
	}
	if number != b.grant {
		return
	}
	switch m.view {
	case policy.BreakerOpened:
		b.open(now)
	case policy.BreakerProbing:
		b.active, b.grantedAt = now, now
	case policy.BreakerIdle, policy.BreakerGood, policy.BreakerFailing:
		b.close(now)
	case policy.BreakerWaiting, policy.BreakerHeld, policy.BreakerRefusing:
	}
}

// choose has another agent probe if one has calls; whose turn was the longest ago goes first.
func (b *Breaker) choose(now time.Time) {
	if p := b.members[b.prober]; p != nil && p.view == policy.BreakerProbing {
		return // its own breaker bounds how long a probe is waited for
	}
	var next Member
	for at, m := range b.members {
		if at == b.prober || m.view != policy.BreakerRefusing {
			continue
		}
		if best := b.members[next]; best == nil || m.chosen < best.chosen || m.chosen == best.chosen && at.before(next) {
			next = at
		}
	}
	m := b.members[next]
	if m == nil {
		return
	}
	if p := b.members[b.prober]; p != nil {
		p.number = b.number
		b.see(p, policy.BreakerIdle)
	}
	b.lastChosen++
	b.prober, b.grant, b.grantedAt = next, b.numbers(), now
	m.chosen, m.number = b.lastChosen, b.grant
	b.revision++
}

func (m Member) before(o Member) bool {
	if m.Node != o.Node {
		return m.Node < o.Node
	}
	return m.Agent < o.Agent
}

// open starts an open period.
func (b *Breaker) open(now time.Time) {
	b.openFor = b.cfg.NextOpen(b.openFor)
	b.until = now.Add(b.cfg.JitterOpen(b.openFor, b.random()))
	b.decide(open)
}

func (b *Breaker) close(now time.Time) {
	b.openFor, b.opensAt = 0, now
	b.decide(closed)
}

// decide starts a phase. What agents saw before has no say in it.
func (b *Breaker) decide(p phase) {
	b.phase, b.number, b.prober = p, b.numbers(), Member{}
	b.revision++
	for _, m := range b.members {
		m.number = b.number
		b.see(m, policy.BreakerIdle)
	}
}
