package capture

import (
	"testing"
	"time"
)

// fakeMemory is what a test says.
type fakeMemory struct {
	used, limit int64
	limited     bool
}

func (m *fakeMemory) Usage() (used, limit int64, limited bool) { return m.used, m.limit, m.limited }

// evaluate evaluates the load, and returns why new connections do not come to the agent, and whether that has changed.
func evaluate(l *load, pods ...*podLoad) (reason error, changed bool) {
	_, v, turned := l.evaluate(pods)
	return v.reason, turned
}

// TestRunningOutIsOverByTimeThatPassed: what counts is how much time has passed since, not what the clock says, which may be set.
func TestRunningOutIsOverByTimeThatPassed(t *testing.T) {
	wakes := 0
	l := newLoad(100, nil, func() { wakes++ })
	var passed time.Duration
	l.exhaustion.sinceStart = func() time.Duration { return passed }
	if reason, changed := evaluate(l); reason != nil || changed {
		t.Errorf("at first: %v, changed %t", reason, changed)
	}
	l.exhaust()
	for _, step := range []struct {
		at            time.Duration
		shed, changed bool
	}{{0, true, true}, {shortestPause - 1, true, false}, {shortestPause, false, true}, {time.Hour, false, false}} {
		passed = step.at
		if reason, changed := evaluate(l); (reason != nil) != step.shed || changed != step.changed {
			t.Errorf("after %s: %v, changed %t", step.at, reason, changed)
		}
	}
	if wakes != 1 {
		t.Errorf("woken %d times, want once", wakes)
	}
}

// TestRunningOutAgainAndAgainLastsLonger: what is short for long must not come and go every few seconds, and with it the conditions of all
// policies.
func TestRunningOutAgainAndAgainLastsLonger(t *testing.T) {
	l := newLoad(100, nil, func() {})
	var passed time.Duration
	l.exhaustion.sinceStart = func() time.Duration { return passed }
	changes := 0
	for range 3600 { // an hour in which there is too little a second after the agent serves again
		if l.overload() == nil {
			l.exhaust()
		}
		passed += time.Second
		if _, changed := evaluate(l); changed {
			changes++
		}
	}
	if most := 2 * int(time.Hour/longestPause+10); changes < 2 || changes > most {
		t.Errorf("%d changes in an hour of shortage, want at most %d", changes, most)
	}
	passed += longestPause
	evaluate(l)
	passed += time.Hour
	l.exhaust()
	passed += shortestPause
	if reason, _ := evaluate(l); reason != nil {
		t.Errorf("long after: %v after %s", reason, shortestPause)
	}
}

// TestRunningOutLastsUntilThereIsEnough: a pause that is over does not mean that there are descriptors.
func TestRunningOutLastsUntilThereIsEnough(t *testing.T) {
	l := newLoad(100, nil, func() {})
	var passed time.Duration
	enough := false
	l.exhaustion.sinceStart, l.exhaustion.spare = func() time.Duration { return passed }, func() bool { return enough }
	l.exhaust()
	passed = time.Hour
	if reason, _ := evaluate(l); reason == nil {
		t.Error("over while there are no descriptors to spare")
	}
	enough = true
	if reason, _ := evaluate(l); reason != nil {
		t.Errorf("with descriptors to spare: %v", reason)
	}
}

func TestMemoryCountsBesideConnections(t *testing.T) {
	const mib = 1 << 20
	m := &fakeMemory{limit: 500 * mib, limited: true}
	l := newLoad(100, m, func() {})
	for _, step := range []struct {
		used  int64
		tight bool
	}{{100, false}, {424, false}, {425, true}, {410, true}, {400, true}, {399, false}, {424, false}, {499, true}} {
		m.used = step.used * mib
		if reason, _ := evaluate(l); (reason != nil) != step.tight {
			t.Errorf("%d of 500 MiB: %v", step.used, reason)
		}
	}
	m.limited = false
	if reason, _ := evaluate(l); reason != nil {
		t.Errorf("without a limit: %v", reason)
	}
}

// TestManyConnectionsAreEvaluatedWithoutWaiting: thousands may come within the interval between two evaluations.
func TestManyConnectionsAreEvaluatedWithoutWaiting(t *testing.T) {
	wakes := 0
	l := newLoad(1<<40, &fakeMemory{}, func() { wakes++ })
	for range 10 * evaluateEvery {
		l.add(&podLoad{})
	}
	if wakes != 10 {
		t.Errorf("woken %d times over %d connections", wakes, 10*evaluateEvery)
	}
}

// TestLittleMemoryIsLookedAtMoreOften: a thousand connections may take what is left of it.
func TestLittleMemoryIsLookedAtMoreOften(t *testing.T) {
	for limit, every := range map[int64]int64{1 << 20: 1, 160 << 20: 51, 512 << 20: 163, 64 << 30: evaluateEvery} {
		wakes := int64(0)
		l := newLoad(1<<40, &fakeMemory{limit: limit, limited: true}, func() { wakes++ })
		evaluate(l)
		for range 10 * every {
			l.add(&podLoad{})
		}
		if wakes != 10 {
			t.Errorf("of %d MiB: woken %d times over %d connections, want 10 times", limit>>20, wakes, 10*every)
		}
	}
}

// TestCutsComeOnceInAnInterval, however often the load is evaluated.
func TestCutsComeOnceInAnInterval(t *testing.T) {
	l, start, cuts := newLoad(100, nil, func() {}), time.Now(), 0
	for i := range 100 {
		if l.cutsAt(start.Add(time.Duration(i) * loadInterval / 25)) {
			cuts++
		}
	}
	if cuts != 4 {
		t.Errorf("%d cuts in 4 intervals", cuts)
	}
}
