package subscribe

import (
	"context"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Sharer is the node's part of limits that the cluster shares. Its methods may be called from any goroutine.
type Sharer interface {
	// Demands lists the limits to which calls have come lately, with what has come since it was last asked. A share of a limit that is not
	// listed is given up. Shared reports whether there are any limits, listed or not.
	Demands(now time.Time) (list []policy.Demand, shared bool)
	// SetShare has the node go by a share.
	SetShare(policy.LimitName, policy.Share)
	// SharedLimits is received from when there are limits, having been none.
	SharedLimits() <-chan struct{}
}

const (
	// demandInterval is how often demands are sent while there are any.
	demandInterval = 250 * time.Millisecond
	// demandEnds is how long after the last call there is nothing more to say: the manager has taken in by then that there is no demand.
	demandEnds = 5 * time.Second
)

// shareSession says to one manager what calls have come, and obeys what it grants.
type shareSession struct {
	sharer Sharer
	stream wire.SubscribeClient

	mu sync.Mutex
	// guarded by mu
	known  map[policy.LimitName]*namedLimit
	names  map[uint32]policy.LimitName
	last   uint32 // number
	round  uint64 // of reports
	obeyed uint64 // sequence of grants

	confirmed uint64 // that the manager has been sent; of run
}

// namedLimit is one that the manager knows by its number.
type namedLimit struct {
	number            uint32
	serial, confirmed uint64 // of its grants
	round             uint64 // in which it was listed last
}

func newShareSession(sharer Sharer, stream wire.SubscribeClient) *shareSession {
	return &shareSession{sharer: sharer, stream: stream, known: map[policy.LimitName]*namedLimit{}, names: map[uint32]policy.LimitName{}}
}

// run sends demands until ctx ends, or the stream does.
func (s *shareSession) run(ctx context.Context) {
	tick := time.NewTicker(demandInterval)
	defer tick.Stop()
	for {
		shared, err := s.report(time.Now())
		if err != nil {
			return // whoever receives gets to know why
		}
		if !shared {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-s.sharer.SharedLimits():
			}
			tick.Reset(demandInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report sends what there is to say.
func (s *shareSession) report(now time.Time) (shared bool, err error) {
	demands, sequence, shared := s.demands(now)
	for len(demands) > 0 || sequence != s.confirmed {
		n := min(len(demands), wire.MaxDemands)
		if err := s.stream.Demands(wire.Demands{Demands: demands[:n], Sequence: sequence}); err != nil {
			return shared, err
		}
		demands, s.confirmed = demands[n:], sequence
	}
	return shared, nil
}

// demands returns what there is to say, and which grants were the last to be obeyed. What the node goes by no share of any more comes first, since
// there may be no more limits than so many at a time.
func (s *shareSession) demands(now time.Time) (out []wire.Demand, sequence uint64, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, shared := s.sharer.Demands(now)
	s.round++
	for i := range list {
		if l := s.known[list[i].Name]; l != nil {
			l.round = s.round
		}
	}
	for name, l := range s.known {
		if l.round != s.round {
			out = append(out, wire.Demand{Limit: l.number, Left: true})
			delete(s.known, name)
			delete(s.names, l.number)
		}
	}
	for i := range list {
		if d, due := s.demand(&list[i]); due {
			out = append(out, d)
		}
	}
	return out, s.obeyed, shared
}

// demand returns what there is to say about a limit, if there is anything.
func (s *shareSession) demand(d *policy.Demand) (out wire.Demand, due bool) {
	l := s.known[d.Name]
	switch {
	case l == nil && len(s.known) >= wire.MaxLimits:
		return out, false
	case l == nil:
		s.last++
		l = &namedLimit{number: s.last, round: s.round}
		s.known[d.Name], s.names[l.number] = l, d.Name
		out.Name = d.Name
	case d.Idle > demandEnds && l.confirmed == l.serial:
		return out, false
	}
	l.confirmed = l.serial
	out.Limit, out.Rate, out.Serial = l.number, d.Rate, l.serial
	if l.serial == 0 {
		out.Share = d.Share
	}
	return out, true
}

// obey puts shares in force. Both s and g may be nil.
func (s *shareSession) obey(g *wire.Grants) {
	if s == nil || g == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range g.Grants {
		grant := &g.Grants[i]
		name, known := s.names[grant.Limit]
		if l := s.known[name]; known && grant.Serial > l.serial {
			l.serial = grant.Serial
			s.sharer.SetShare(name, grant.Share)
		}
	}
	s.obeyed = g.Sequence
}
