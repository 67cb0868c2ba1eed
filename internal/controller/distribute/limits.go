package distribute

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/controller/shares"
	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// limitDivider divides what limits let the whole cluster start among the agents that have calls under them. It has work while there are such
// agents. Its lock is a leaf: nothing else is locked under it.
type limitDivider struct {
	wake chan struct{} // size 1: there is a division, having been none

	mu sync.Mutex
	// guarded by mu, as are the divisions and what sessions have of them
	divisions map[policy.LimitName]*division
}

// division is that of one limit, and which agents take part in it by their sessions.
type division struct {
	*shares.Division
	sessions map[string]*sessionLimit // by member; one that has none has lost its connection
	due      bool                     // something has been said about it
}

// sessionLimits are an agent's. They are guarded by limitDivider.mu.
type sessionLimits struct {
	member         string // name of the agent in divisions
	limits         map[uint32]*sessionLimit
	last           uint32 // the greatest number that has been used
	pending        map[uint32]wire.Grant
	sent, answered uint64 // sequences of grants
	ended          bool   // what comes now would stay, for there is nobody to take it back
}

// sessionLimit is one that the agent has named.
type sessionLimit struct {
	of       *sessionLimits
	session  *session
	number   uint32
	name     policy.LimitName
	division *division // nil: the manager did not know the limit
}

func newLimitDivider() *limitDivider {
	return &limitDivider{wake: make(chan struct{}, 1), divisions: map[policy.LimitName]*division{}}
}

// run divides until ctx ends.
func (v *limitDivider) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		}
		tick := time.NewTicker(shares.Interval)
		for busy := true; busy; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case now := <-tick.C:
				busy = v.divide(now)
			}
		}
		tick.Stop()
	}
}

// divide divides the limits about which something has been said. It reports whether there are any.
func (v *limitDivider) divide(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, d := range v.divisions {
		if !d.due && d.Members() == len(d.sessions) {
			continue
		}
		d.due = false
		for _, g := range d.Divide(now) {
			if l := d.sessions[g.Node]; l != nil {
				l.of.pending[l.number] = wire.Grant{Limit: l.number, Serial: g.Serial, Share: policy.Share(g.Share)}
				l.session.wakeUp()
			}
		}
		if d.Members() == 0 {
			delete(v.divisions, name)
		}
	}
	return len(v.divisions) > 0
}

// demand takes in what an agent says.
func (s *Store) demand(c *session, d *wire.Demands, now time.Time) error {
	known := s.reportableOn(c.node.name).limits
	led := now.Add(-s.serving.servingFor(now))
	v, l := s.limits, &c.limits
	v.mu.Lock()
	defer v.mu.Unlock()
	if l.ended {
		return nil
	}
	if d.Sequence > l.sent || d.Sequence < l.answered {
		return fmt.Errorf("%w: grants %d are not what was sent", errProtocol, d.Sequence)
	}
	l.answered = d.Sequence
	for i := range d.Demands {
		if err := v.take(c, &d.Demands[i], known, led); err != nil {
			return err
		}
	}
	if len(l.pending) > 0 {
		c.wakeUp()
	}
	return nil
}

// take takes in what an agent says about one limit.
func (v *limitDivider) take(c *session, d *wire.Demand, known map[string]policy.Share, led time.Time) error {
	l := c.limits.limits[d.Limit]
	if l == nil {
		if d.Limit <= c.limits.last || len(c.limits.limits) >= wire.MaxLimits {
			return fmt.Errorf("%w: limit %d, the last one was %d, and there are %d", errProtocol, d.Limit, c.limits.last, len(c.limits.limits))
		}
		l = c.limits.add(c, d)
	}
	if d.Left {
		l.leave()
		delete(c.limits.limits, l.number)
		delete(c.limits.pending, l.number)
		return nil
	}
	whole, ok := known[l.name.Limit]
	if !ok {
		return nil
	}
	if l.division == nil {
		v.join(l, whole, d.Share, led)
	}
	l.division.Resize(shares.Share(whole))
	l.division.Report(l.of.member, shares.Report{Demand: d.Rate, Serial: d.Serial})
	l.division.due = true
	return nil
}

// add notes that the agent has named a limit.
func (l *sessionLimits) add(c *session, d *wire.Demand) *sessionLimit {
	if l.limits == nil {
		l.limits, l.pending = map[uint32]*sessionLimit{}, map[uint32]wire.Grant{}
		l.member = c.node.name + "/" + c.agent
	}
	of := &sessionLimit{of: l, session: c, number: d.Limit, name: d.Name}
	l.limits[d.Limit], l.last = of, d.Limit
	return of
}

// join has an agent take part in the division of a limit.
func (v *limitDivider) join(l *sessionLimit, whole, holds policy.Share, led time.Time) {
	d := v.divisions[l.name]
	if d == nil {
		d = &division{Division: shares.NewDivision(shares.Share(whole), led), sessions: map[string]*sessionLimit{}}
		if v.divisions[l.name] = d; len(v.divisions) == 1 {
			select {
			case v.wake <- struct{}{}:
			default:
			}
		}
	}
	l.division = d
	d.sessions[l.of.member] = l
	d.Join(l.of.member, shares.Share(holds))
}

// leave ends the agent's part in a division.
func (l *sessionLimit) leave() {
	if d := l.division; d != nil && d.sessions[l.of.member] == l {
		delete(d.sessions, l.of.member)
		d.Leave(l.of.member)
		d.due = true
	}
}

// sessionEnded notes that nothing more comes from an agent. One that has connected again goes on.
func (v *limitDivider) sessionEnded(c *session, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range c.limits.limits {
		if d := l.division; d != nil && d.sessions[l.of.member] == l {
			delete(d.sessions, l.of.member)
			d.Lost(l.of.member, now)
		}
	}
	c.limits = sessionLimits{ended: true}
}

// grants returns what the agent is to be sent, or nil: there is nothing, or it has not answered the last time. So what is on its way to an
// agent is bounded, and sending does not have to wait for it.
func (v *limitDivider) grants(c *session) *wire.Grants {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := &c.limits
	if len(l.pending) == 0 || l.answered != l.sent {
		return nil
	}
	l.sent++
	out := &wire.Grants{Sequence: l.sent}
	for _, number := range slices.Sorted(maps.Keys(l.pending)) {
		if len(out.Grants) == wire.MaxDemands {
			break
		}
		out.Grants = append(out.Grants, l.pending[number])
		delete(l.pending, number)
	}
	return out
}

// LimitShares is how many limits the cluster shares at present, and how many shares of them agents have.
func (s *Store) LimitShares() (limits, held int) {
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	for _, d := range s.limits.divisions {
		held += d.Members()
	}
	return len(s.limits.divisions), held
}
