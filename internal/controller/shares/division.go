package shares

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// Share is what a node, or the cluster, may have of a limit: calls per second, and how many calls may start at once.
type Share struct {
	Rate, Burst float64
}

func (s Share) plus(o Share) Share { return Share{s.Rate + o.Rate, s.Burst + o.Burst} }

func (s Share) times(f float64) Share { return Share{s.Rate * f, s.Burst * f} }

// most is the greater of each, and least the smaller.
func (s Share) most(o Share) Share { return Share{max(s.Rate, o.Rate), max(s.Burst, o.Burst)} }

func (s Share) least(o Share) Share { return Share{min(s.Rate, o.Rate), min(s.Burst, o.Burst)} }

// Report is what a node says of one limit.
type Report struct {
	// Demand is how many calls have come to the limit in a second since the last report, those that were refused included.
	Demand float64
	// Serial is that of the last Grant that the node goes by; 0: it has none of this Division.
	Serial uint64
}

// Grant tells a node what it may have from now on.
type Grant struct {
	Node   string
	Serial uint64
	Share  Share
}

const (
	// Interval is how often nodes report and a limit is divided anew.
	Interval = 250 * time.Millisecond
	// returnAfter is for how long the share of a node that is not connected any more is kept for it.
	returnAfter = 5 * time.Second
	// obeyedWithin is how long a node may take to say that it goes by what it was sent. What it went by before is others' then: a node that
	// does not obey must not keep from them what they should have.
	obeyedWithin = 5 * time.Second
	// newLeaderHolds is for how long a new leader gives nothing away that a node which it has not heard of yet may hold: it divides what those hold
	// that it has heard of.
	newLeaderHolds = 5 * time.Second
	// floor is the part of the whole that is divided evenly, whoever asks, so that a node has something to begin with.
	floor = 0.05
	// worthTelling is the least change of a share, as a part of the whole, that a node is sent.
	worthTelling = 0.005
	// smoothing is the part that a report has in what is taken for the demand, and headroom how much more a node should have than that: calls come unevenly.
	smoothing, headroom = 0.5, 1.1
	// silentFor is how many divisions a node that asks for calls is heard of before at the latest: one that is not has no more demand.
	silentFor = 4
	// maxIssued bounds what is remembered of what a node that does not answer was sent.
	maxIssued = 16
)

// Division divides one limit. What all nodes may use together is never more than the whole: a share grows by what another node has said that it
// does without, and no sooner. The exceptions are shares that a former leader gave, as long as their nodes have not been heard of; and nodes
// that live and are not connected, whose shares are given to others after returnAfter.
//
// It is not safe for concurrent use.
type Division struct {
	whole     Share
	givesFrom time.Time
	known     Share // what nodes have said, on joining, that they hold
	serial    uint64
	members   map[string]*member
}

// member is a node that has calls under the limit.
type member struct {
	name   string
	demand float64
	silent int      // divisions since its last report
	issued []issued // what it may go by, the oldest first, the last one what it was sent last; never empty
	lost   time.Time
}

// issued is a share that a node was sent.
type issued struct {
	serial uint64
	share  Share
	at     time.Time
}

// given is what it was sent last.
func (m *member) given() Share { return m.issued[len(m.issued)-1].share }

// most is the most that it may go by.
func (m *member) most() (most Share) {
	for _, t := range m.issued {
		most = most.most(t.share)
	}
	return most
}

// issue notes that it is sent a share.
func (m *member) issue(serial uint64, s Share, now time.Time) {
	if len(m.issued) == maxIssued { // it has not answered for long: what it may go by stays the same
		m.issued[1].share = m.issued[1].share.most(m.issued[0].share)
		m.issued = m.issued[1:]
	}
	m.issued = append(m.issued, issued{serial, s, now})
}

// expire takes for over what it should have left long ago.
func (m *member) expire(now time.Time) {
	for len(m.issued) > 1 && now.Sub(m.issued[1].at) >= obeyedWithin {
		m.issued = m.issued[1:]
	}
}

// forget has the demand of a node fade that says nothing any more, as one does to which no call has come for a while. That of one that is not
// connected is kept, as its share is.
func (m *member) forget() {
	if m.silent++; m.silent > silentFor && m.lost.IsZero() {
		m.demand -= smoothing * m.demand
	}
}

// NewDivision returns a Division of which nobody is known to hold anything, of a leader that has led since a time.
func NewDivision(whole Share, led time.Time) *Division {
	return &Division{whole: whole, givesFrom: led.Add(newLeaderHolds), members: map[string]*member{}}
}

// Resize changes the whole. Shares that are too large are called back.
func (d *Division) Resize(whole Share) { d.whole = whole }

// AllKnown says that every node which may hold a share has been heard of: the leader has been so from the first.
func (d *Division) AllKnown(now time.Time) { d.givesFrom = now }

// Join takes in a node that has connected, which goes by a share that a former leader gave it, or by none. Nothing that it was sent before reaches it
// any more. It is not taken to hold more than the whole. Until its reports have shown more it is taken to need what it holds: that is what it has
// needed before, and what is called back from a node takes a while to be of use to another.
func (d *Division) Join(node string, holds Share) {
	holds = holds.least(d.whole)
	next := &member{name: node, demand: holds.Rate, issued: []issued{{share: holds}}}
	more := holds
	if m := d.members[node]; m != nil {
		next.demand = m.demand
		more = holds.plus(m.most().times(-1)).most(Share{})
	}
	d.known = d.known.plus(more)
	d.members[node] = next
}

// Report takes in what a node that has joined says.
func (d *Division) Report(node string, r Report) {
	m := d.members[node]
	if m == nil {
		return
	}
	m.silent = 0
	m.demand += smoothing * (min(max(r.Demand, 0), d.whole.Rate) - m.demand) // what is above the whole is of no use, and would take longer to be forgotten
	for len(m.issued) > 1 && m.issued[1].serial <= r.Serial {                // what it was sent before is over
		m.issued = m.issued[1:]
	}
}

// Lost says that a node is not connected any more.
func (d *Division) Lost(node string, now time.Time) {
	if m := d.members[node]; m != nil && m.lost.IsZero() {
		m.lost = now
	}
}

// Leave says that a node has no calls under the limit any more, and goes by no share.
func (d *Division) Leave(node string) { delete(d.members, node) }

// Members is how many nodes there are.
func (d *Division) Members() int { return len(d.members) }

// Divide returns what nodes are to be sent now.
func (d *Division) Divide(now time.Time) []Grant {
	maps.DeleteFunc(d.members, func(_ string, m *member) bool { return !m.lost.IsZero() && now.Sub(m.lost) >= returnAfter })
	for _, m := range d.members {
		m.expire(now)
		m.forget()
	}
	all := slices.SortedFunc(maps.Values(d.members), func(a, b *member) int { return cmp.Compare(a.name, b.name) })
	whole := d.divided(now)
	goals := goals(all, whole)
	next := make([]Share, len(all))
	free := whole
	for i, m := range all {
		next[i] = m.given().least(goals[i])
		free = free.plus(m.most().times(-1))
	}
	grow(next, goals, free)
	var out []Grant
	for i, m := range all {
		if m.lost.IsZero() && d.worth(m.given(), next[i], goals[i]) {
			d.serial++
			m.issue(d.serial, next[i], now)
			out = append(out, Grant{m.name, d.serial, next[i]})
		}
	}
	return out
}

// divided is what is divided at now: the whole, or as long as there may be nodes that the leader has not heard of, what the others held.
func (d *Division) divided(now time.Time) Share {
	if now.Before(d.givesFrom) {
		return d.known.least(d.whole)
	}
	return d.whole
}

// worth reports whether a node is sent a new share: it is another one, and not by a trifle unless it is now what it should be.
func (d *Division) worth(was, is, goal Share) bool {
	if is == was {
		return false
	}
	return is == goal || math.Abs(is.Rate-was.Rate) >= worthTelling*d.whole.Rate || math.Abs(is.Burst-was.Burst) >= worthTelling*d.whole.Burst
}

// grow gives what is free to those who have less than they should have, in proportion.
func grow(next, goals []Share, free Share) {
	var missing Share
	for i := range next {
		missing = missing.plus(goals[i]).plus(next[i].times(-1))
	}
	rate, burst := part(free.Rate, missing.Rate), part(free.Burst, missing.Burst)
	for i := range next {
		next[i].Rate += (goals[i].Rate - next[i].Rate) * rate
		next[i].Burst += (goals[i].Burst - next[i].Burst) * burst
	}
}

// part is what part of what is missing there is.
func part(free, missing float64) float64 {
	switch {
	case free <= 0 || missing <= 0:
		return 0
	case free > missing*(1-1e-9): // as much, but for rounding
		return 1
	}
	return free / missing
}

// goals are what nodes should have: a little each, and of the rest as much as they ask for. Where they ask for more than there is, none gets more than
// another that does not get what it asks for (max-min fairness): asking for more than others is no way to get more of what they need. What nobody
// asks for is divided evenly.
func goals(all []*member, whole Share) []Share {
	n := float64(len(all))
	if whole.Rate <= 0 {
		return make([]Share, len(all))
	}
	base := whole.Rate * floor / n
	demands := make([]float64, len(all))
	for i, m := range all {
		demands[i] = max(headroom*m.demand-base, 0)
	}
	rates := fairly(demands, whole.Rate*(1-floor))
	// Whoever has a share has a token to begin with, if there are enough of them. (If there are not, a node lets a call start all the same once it
	// has had no other for long enough: it takes a whole token to start a call.)
	token := 0.0
	if whole.Burst >= n {
		token = 1
	}
	goals := make([]Share, len(all))
	for i := range all {
		rate := base + rates[i]
		goals[i] = Share{rate, token + (whole.Burst-token*n)*rate/whole.Rate}
	}
	return goals
}

// fairly divides a whole by demands, and what is left of it evenly.
func fairly(demands []float64, whole float64) []float64 {
	order := make([]int, len(demands))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(demands[a], demands[b]) })
	out := make([]float64, len(demands))
	left := whole
	for k, i := range order { // the most modest first
		out[i] = min(demands[i], left/float64(len(order)-k))
		left -= out[i]
	}
	for i := range out {
		out[i] += max(left, 0) / float64(len(out))
	}
	return out
}
