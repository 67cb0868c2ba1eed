package resilience

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// plainLife is the plain way to open, probe and close: it knows every attempt that is under way, and which period it is of.
type plainLife struct {
	cfg     *policy.Breaker
	longest time.Duration // of a probe

	state    State // HalfOpen from the first probe on
	period   int   // counts changes of state
	triggers *plainTriggers
	openFor  time.Duration // before jitter; 0: it is closed
	until    time.Time     // of the open time
	asked    time.Time     // when a probe began, ended or became overdue last
	good     int           // probes of this period that went well
	opened   uint64
	attempts []*plainAttempt
}

type plainAttempt struct {
	permit  Permit
	period  int
	began   time.Time
	probe   bool
	overdue bool
}

func (m *plainLife) become(s State) {
	m.state, m.good = s, 0
	m.period++
	if s == Closed {
		m.openFor, m.triggers = 0, newPlainTriggers(m.cfg)
	}
}

// probing are the probes that keep others out.
func (m *plainLife) probing() (n int) {
	for _, a := range m.attempts {
		if a.probe && !a.overdue && a.period == m.period {
			n++
		}
	}
	return n
}

// pass lets time pass: probes become overdue, and what is long ago is forgotten.
func (m *plainLife) pass(now time.Time) {
	for _, a := range m.attempts {
		if a.probe && !a.overdue && a.period == m.period && now.Sub(a.began) > m.longest {
			a.overdue = true
			m.asked = later(m.asked, a.began.Add(m.longest))
		}
	}
	if m.state != Closed && m.probing() == 0 && now.Sub(later(m.asked, m.until)) > 2*max(m.cfg.OpenDuration, m.cfg.OpenMaxDuration) {
		m.become(Closed)
	}
}

// begin returns an attempt, or nil if none may begin.
func (m *plainLife) begin(now time.Time) *plainAttempt {
	m.pass(now)
	switch {
	case m.state == Open && now.Before(m.until), m.state == HalfOpen && m.probing() >= m.cfg.Probes:
		return nil
	case m.state == Open:
		m.become(HalfOpen)
	}
	a := &plainAttempt{period: m.period, began: now, probe: m.state == HalfOpen}
	m.attempts = append(m.attempts, a)
	if a.probe {
		m.asked = now
	}
	return a
}

// end takes in how an attempt has ended; nil: it was never made. It reports whether the breaker opens.
func (m *plainLife) end(now time.Time, a *plainAttempt, r *Result) bool {
	m.attempts = slices.DeleteFunc(m.attempts, func(o *plainAttempt) bool { return o == a })
	if r == nil || a.period != m.period {
		return false
	}
	if !a.probe {
		if m.triggers.record(now, *r) {
			m.open()
			return true
		}
		return false
	}
	m.asked = now
	switch slow := m.cfg.SlowCalls != nil && r.Took > m.cfg.SlowCalls.Threshold; {
	case r.Failed || slow:
		m.open()
		return true
	case r.GivenUp:
	default:
		if m.good++; m.good == m.cfg.SuccessesToClose {
			m.become(Closed)
		}
	}
	return false
}

func (m *plainLife) open() {
	m.opened++
	if m.openFor *= 2; m.openFor == 0 {
		m.openFor = m.cfg.OpenDuration
	}
	m.openFor = min(m.openFor, max(m.cfg.OpenDuration, m.cfg.OpenMaxDuration))
	m.become(Open)
}

// shown is the state that is shown: what the next call will find.
func (m *plainLife) shown(now time.Time) State {
	m.pass(now)
	switch {
	case m.state == Closed:
		return Closed
	case m.state == Open && now.Before(m.until):
		return Open
	case m.probing() > 0 || now.Sub(later(m.asked, m.until)) < m.openFor:
		return HalfOpen
	}
	return Closed
}

// life is a breaker and its oracle, and who calls them at random.
type life struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	now    time.Time
	b      *Breaker
	plain  *plainLife
	did    map[string]int
}

func newLife(t *testing.T, seed uint64, did map[string]int) *life {
	random := rand.New(rand.NewPCG(seed, 23))
	cfg := randomTriggers(random)
	cfg.OpenMaxDuration = time.Duration(random.IntN(2000)) * time.Millisecond
	cfg.OpenJitterPercent, cfg.Probes, cfg.SuccessesToClose = random.IntN(51), 1+random.IntN(4), 1+random.IntN(4)
	perTry := time.Duration(random.IntN(3)) * 100 * time.Millisecond
	l := &life{t: t, seed: seed, random: random, now: t0, b: NewBreaker(cfg, t0, random.Float64), did: did}
	l.b.SetAttemptLimit(perTry)
	l.plain = &plainLife{cfg: cfg, longest: max(cfg.OpenDuration, perTry), triggers: newPlainTriggers(cfg)}
	return l
}

// pause lets some time pass: mostly little, and sometimes so much that all is forgotten, or to the very moment at which something becomes otherwise.
func (l *life) pause() {
	switch n := l.random.IntN(100); {
	case n == 0:
		l.now = l.now.Add(time.Duration(l.random.IntN(6000)) * time.Millisecond)
	case n < 15:
		moments := []time.Time{
			l.plain.until, later(l.plain.asked, l.plain.until).Add(l.plain.openFor),
			later(l.plain.asked, l.plain.until).Add(2 * max(l.plain.cfg.OpenDuration, l.plain.cfg.OpenMaxDuration)),
		}
		for _, a := range l.plain.attempts {
			moments = append(moments, a.began.Add(l.plain.longest))
		}
		l.now = later(l.now, moments[l.random.IntN(len(moments))].Add(time.Duration(l.random.IntN(3)-1)))
	case n < 90:
		l.now = l.now.Add(time.Duration(l.random.ExpFloat64() * float64(10*time.Millisecond)))
	}
}

func (l *life) begin() {
	permit, ok := l.b.Allow(l.now)
	a := l.plain.begin(l.now)
	if ok != (a != nil) || ok && permit.Probe() != a.probe {
		l.t.Fatalf("seed %d, at %v: allowed %v, a probe %v; want %+v", l.seed, l.now.Sub(t0), ok, permit.Probe(), a)
	}
	switch {
	case !ok && l.plain.state == HalfOpen:
		l.did["kept out by probes"]++
	case !ok:
		l.did["refused"]++
	default:
		a.permit = permit
	}
}

func (l *life) end(bad float64) {
	a := l.plain.attempts[l.random.IntN(len(l.plain.attempts))]
	if a.overdue {
		l.did["overdue"]++
	} else if a.period != l.plain.period {
		l.did["of an older period"]++
	}
	if l.random.IntN(10) == 0 {
		l.b.Cancel(a.permit)
		l.plain.end(l.now, a, nil)
		return
	}
	r := randomResult(l.random, bad)
	was := l.plain.state
	l.b.Done(l.now, a.permit, r)
	if l.plain.end(l.now, a, &r) {
		l.opens(was)
	} else if was == HalfOpen && l.plain.state == Closed {
		l.did["closed by probes"]++
	}
}

// opens checks how long the breaker stays open, and has the oracle go by that.
func (l *life) opens(was State) {
	s := l.b.Status(l.now)
	got, want := s.Until.Sub(l.now), l.plain.openFor
	off := want * time.Duration(l.plain.cfg.OpenJitterPercent) / 100
	if s.State != Open || got < want-off-1 || got > want+off+1 {
		l.t.Fatalf("seed %d, at %v: %v for %v, want open for %v ± %v", l.seed, l.now.Sub(t0), s.State, got, want, off)
	}
	l.plain.until = s.Until
	if got < want-off/2 || got > want+off/2 {
		l.did["jittered"]++
	}
	l.did["opened when "+was.String()]++
}

func (l *life) check() {
	s := l.b.Status(l.now)
	if want := l.plain.shown(l.now); s.State != want || s.Opened != l.plain.opened {
		l.t.Fatalf("seed %d, at %v: %v, opened %d times; want %v, %d", l.seed, l.now.Sub(t0), s.State, s.Opened, want, l.plain.opened)
	}
	if s.State == Open != !s.Until.IsZero() || s.State == Open && !s.Until.Equal(l.plain.until) {
		l.t.Fatalf("seed %d, at %v: until %v, want %v", l.seed, l.now.Sub(t0), s.Until, l.plain.until)
	}
}

// Through its whole life a breaker lets through, counts, opens, probes and closes as one does that knows every attempt, however many are under way,
// and in whatever order they end.
func TestRule22_ALifeIsAsPlainCountingHasIt(t *testing.T) {
	did := map[string]int{}
	for seed := range uint64(80) {
		l, bad := newLife(t, seed, did), 0.0
		for step := range 3000 {
			if step%50 == 0 {
				bad = l.random.Float64()
			}
			l.pause()
			if len(l.plain.attempts) == 0 || l.random.IntN(20) < 11 && len(l.plain.attempts) < 20 {
				l.begin()
			} else {
				l.end(bad)
			}
			if l.random.IntN(2) == 0 {
				l.check()
			}
		}
	}
	for _, what := range []string{
		"opened when closed", "opened when half_open", "closed by probes", "kept out by probes", "refused", "overdue", "of an older period", "jittered",
	} {
		if did[what] < 300 {
			t.Errorf("%s: %d times: the test shows little", what, did[what])
		}
	}
}
