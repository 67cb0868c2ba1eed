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

// TestRunningOutIsOverByTimeThatPassed: what counts is how much time has passed since, not what the clock says, which may be set.
func TestRunningOutIsOverByTimeThatPassed(t *testing.T) {
	kicks := 0
	l := newLoad(100, nil, func() { kicks++ })
	var passed time.Duration
	l.sinceStart = func() time.Duration { return passed }
	if why, news := l.evaluate(); why != nil || news {
		t.Errorf("at first: %v, news %t", why, news)
	}
	l.exhaust()
	for _, step := range []struct {
		at         time.Duration
		shed, news bool
	}{{0, true, true}, {exhaustionPause - 1, true, false}, {exhaustionPause, false, true}, {time.Hour, false, false}} {
		passed = step.at
		if why, news := l.evaluate(); (why != nil) != step.shed || news != step.news {
			t.Errorf("after %s: %v, news %t", step.at, why, news)
		}
	}
	if kicks != 1 {
		t.Errorf("kicked %d times, want once", kicks)
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
		if why, _ := l.evaluate(); (why != nil) != step.tight {
			t.Errorf("%d of 500 MiB: %v", step.used, why)
		}
	}
	m.limited = false
	if why, _ := l.evaluate(); why != nil {
		t.Errorf("without a limit: %v", why)
	}
}

// TestManyConnectionsAreLookedAtWithoutWaiting: thousands may come within the second between two looks at memory.
func TestManyConnectionsAreLookedAtWithoutWaiting(t *testing.T) {
	kicks := 0
	l := newLoad(1<<40, &fakeMemory{}, func() { kicks++ })
	for range 10 * evaluateEvery {
		l.add()
	}
	if kicks != 10 {
		t.Errorf("kicked %d times over %d connections", kicks, 10*evaluateEvery)
	}
}
