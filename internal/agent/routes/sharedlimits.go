package routes

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/policy"
)

// shareKept is for how long a node keeps its share of a limit to which no call comes.
const shareKept = time.Minute

// sharedLimits are the node's parts of rate limits that the cluster shares. All bindings have the same one for the same name and destination, however
// they call it. It is guarded by Table.mu.
type sharedLimits struct {
	all     map[policy.LimitName]*sharedLimit
	sweptAt time.Time
	asked   time.Time // when Demands was last called

	appeared chan struct{} // size 1: there is one, having been none
}

// sharedLimit is the node's part of one.
type sharedLimit struct {
	limit   *resilience.RateLimit
	cfg     policy.RateLimit
	share   policy.Share
	granted bool      // else it is what nodes begin with
	came    uint64    // calls, when it was last looked at
	usedAt  time.Time // about when the last one came
}

func newSharedLimits() *sharedLimits {
	return &sharedLimits{all: map[policy.LimitName]*sharedLimit{}, appeared: make(chan struct{}, 1)}
}

// limit returns the one of a name, made if there is none.
func (s *sharedLimits) limit(name policy.LimitName, cfg *policy.RateLimit, now time.Time) *resilience.RateLimit {
	l := s.all[name]
	own := *cfg
	own.MaxWait = 0 // each gate has its own
	if l == nil {
		l = &sharedLimit{cfg: own, share: resilience.FirstShare(cfg.Share()), usedAt: now}
		l.limit = resilience.NewSharedRateLimit(l.settings(), now)
		if s.all[name] = l; len(s.all) == 1 {
			s.asked = now
			select {
			case s.appeared <- struct{}{}:
			default:
			}
		}
	}
	l.configure(own, now)
	return l.limit
}

// settings is what the limit is to go by.
func (l *sharedLimit) settings() resilience.SharedLimit {
	return resilience.SharedLimit{Whole: l.cfg.Share(), Share: l.share, Provisional: !l.granted}
}

// configure puts an edit in force. A node's share of a limit that has become smaller is smaller at once; of one that has become larger it is
// given more.
func (l *sharedLimit) configure(cfg policy.RateLimit, now time.Time) {
	if l.cfg == cfg {
		return
	}
	was, is := l.cfg.Share(), cfg.Share()
	l.cfg = cfg
	if l.granted {
		l.share.Rate *= min(is.Rate/was.Rate, 1)
		l.share.Burst *= min(is.Burst/was.Burst, 1)
	} else {
		l.share = resilience.FirstShare(is)
	}
	l.limit.SetShare(l.settings(), now)
}

// set puts a share in force.
func (l *sharedLimit) set(share policy.Share, granted bool, now time.Time) {
	l.share, l.granted = share, granted
	l.limit.SetShare(l.settings(), now)
}

// Demands lists the limits that the cluster shares to which calls have come lately, with what has come since it was last asked, sorted by name. A
// share that has not been of use for long is given up: it is not listed then. Shared reports whether there are any limits, listed or not.
func (s *Table) Demands(now time.Time) (list []policy.Demand, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.shared
	elapsed := max(now.Sub(all.asked), time.Millisecond).Seconds()
	all.asked = now
	for name, l := range all.all {
		came, waiting := l.limit.Came(), l.limit.Waiting()
		n := came - l.came
		if l.came = came; n > 0 || waiting > 0 {
			l.usedAt = now
		}
		idle := now.Sub(l.usedAt)
		if idle >= shareKept {
			if l.granted {
				l.set(resilience.FirstShare(l.cfg.Share()), false, now)
			}
			continue
		}
		list = append(list, policy.Demand{
			Name: name, Share: l.share, Granted: l.granted, Idle: idle,
			Rate: float64(n)/elapsed + float64(waiting), // who waits should be let in within a second
		})
	}
	s.sweepShared(now)
	slices.SortFunc(list, func(a, b policy.Demand) int { return a.Name.Compare(b.Name) })
	return list, len(all.all) > 0
}

// sweepShared forgets, once in a while, what nobody uses any more. It expects the lock.
func (s *Table) sweepShared(now time.Time) {
	all := s.shared
	if now.Sub(all.sweptAt) < shareKept {
		return
	}
	all.sweptAt = now
	used := map[*resilience.RateLimit]bool{}
	for _, of := range s.states.all {
		for _, st := range of {
			for _, r := range st.limits.rates.all {
				used[r.RateLimit] = true
			}
		}
	}
	for name, l := range all.all {
		if !used[l.limit] && now.Sub(l.usedAt) >= shareKept {
			delete(all.all, name)
		}
	}
}

// SetShare has the node go by a share of a limit. One that it does not know any more it ignores.
func (s *Table) SetShare(name policy.LimitName, share policy.Share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.shared.all[name]; l != nil {
		l.set(share, true, time.Now())
	}
}

// SharedLimits is received from when there are limits that the cluster shares, having been none.
func (s *Table) SharedLimits() <-chan struct{} { return s.shared.appeared }

// ShareState is the node's part of one limit, for debugging.
type ShareState struct {
	policy.LimitName
	policy.Share
	Granted bool
	Waiting int
}

// Shares lists the node's parts of limits that the cluster shares, sorted by name.
func (s *Table) Shares() []ShareState {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ShareState, 0, len(s.shared.all))
	for name, l := range s.shared.all {
		out = append(out, ShareState{name, l.share, l.granted, l.limit.Waiting()})
	}
	slices.SortFunc(out, func(a, b ShareState) int {
		return a.LimitName.Compare(b.LimitName)
	})
	return out
}
