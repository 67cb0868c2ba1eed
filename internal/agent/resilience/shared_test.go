package resilience

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

func sharedBreaker() *Breaker {
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.Sharing = 3, policy.ShareCluster
		b.OpenDuration, b.OpenMaxDuration = 5*time.Second, 20*time.Second
	})
	return b
}

func viewAt(t *testing.T, b *Breaker, now time.Time) policy.BreakerView {
	t.Helper()
	view, _, shared := b.View(now)
	if !shared {
		t.Fatal("the cluster does not share it")
	}
	return view
}

func TestHowANodeSeesADestination(t *testing.T) {
	b := sharedBreaker()
	want := func(when string, now time.Time, view policy.BreakerView) {
		t.Helper()
		if got := viewAt(t, b, now); got != view {
			t.Errorf("%s: %d, want %d", when, got, view)
		}
	}
	now := t0.Add(time.Minute)
	want("before any call", now, policy.BreakerIdle)
	do(b, now, false)
	want("after a success", now, policy.BreakerGood)
	do(b, now.Add(500*time.Millisecond), true)
	want("after a failure among successes", now.Add(600*time.Millisecond), policy.BreakerGood)
	want("with no success after it", now.Add(2*time.Second), policy.BreakerIdle)
	want("long after", now.Add(30*time.Second), policy.BreakerIdle)
	now = now.Add(time.Minute)
	do(b, now, false)
	want("after another success", now, policy.BreakerGood)
	want("long after that", now.Add(11*time.Second), policy.BreakerIdle)
	for range 3 {
		do(b, now, true)
	}
	want("when it has opened by itself", now, policy.BreakerOpened)
	now = now.Add(5 * time.Second)
	want("when its time is over", now, policy.BreakerWaiting)
	p, _ := b.Allow(now)
	want("with a probe under way", now, policy.BreakerProbing)
	b.Done(now, p, Result{})
	want("after the probe", now, policy.BreakerGood)
}

// A few failures are no opinion: a node has one when as many in a row have failed as hardly happens to calls of which some fail anyway.
func TestANodeIsSureAfterManyFailures(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures, b.Sharing = 0, policy.ShareCluster
		b.ErrorRate = &policy.ErrorRate{Percent: 100, MinimumRequests: 1000, Window: 10 * time.Second}
	})
	now := t0.Add(time.Minute)
	do(b, now, false)
	for i := range surely {
		if view := viewAt(t, b, now.Add(2*time.Second)); (view == policy.BreakerGood) != (i == 0) || view == policy.BreakerFailing {
			t.Errorf("after %d failures: %d", i, view)
		}
		do(b, now.Add(time.Duration(i+1)*time.Millisecond), true)
	}
	if view := viewAt(t, b, now.Add(clearly)); view != policy.BreakerFailing {
		t.Errorf("after %d failures: %d", surely, view)
	}
	if view := viewAt(t, b, now.Add(clearly-1)); view != policy.BreakerGood {
		t.Errorf("soon after a success: %d", view)
	}
	if view := viewAt(t, b, now.Add(30*time.Second)); view != policy.BreakerIdle {
		t.Errorf("long after: %d", view)
	}
	now = now.Add(time.Minute)
	do(b, now, false)
	do(b, now.Add(time.Millisecond), true)
	if view := viewAt(t, b, now.Add(2*time.Second)); view != policy.BreakerIdle {
		t.Errorf("after a failure that follows a success: %d", view)
	}
}

func TestWhatTheManagerSaysHolds(t *testing.T) {
	b := sharedBreaker()
	open := policy.BreakerVerdict{Number: 4, Order: policy.BreakerOpen, For: 5 * time.Second, Hold: 10 * time.Second}
	b.Obey(t0, open)
	if viewAt(t, b, t0) != policy.BreakerHeld || b.OpenedBy(t0) != ByCluster {
		t.Error("not held")
	}
	now := t0.Add(6 * time.Second)
	if do(b, now, false) || viewAt(t, b, now) != policy.BreakerRefusing {
		t.Error("a call passes before the manager has said who probes")
	}
	if s := b.Status(now); s.State != Open || s.Opened != 1 {
		t.Errorf("%+v", s)
	}
	open.For = 0
	b.Obey(now, open) // a reminder
	if now = t0.Add(15 * time.Second); do(b, now, false) {
		t.Error("a call passes though the manager was heard of")
	}
	b.Obey(now, policy.BreakerVerdict{Number: 5, Order: policy.BreakerProbe})
	p, ok := b.Allow(now)
	if _, another := b.Allow(now); !ok || another {
		t.Fatalf("a probe passes: %v, a second one: %v", ok, another)
	}
	b.Obey(now, policy.BreakerVerdict{Number: 5, Order: policy.BreakerProbe}) // a reminder
	b.Done(now, p, Result{})
	if _, number, _ := b.View(now); viewAt(t, b, now) != policy.BreakerGood || number != 5 {
		t.Errorf("after the probe: %d, number %d", viewAt(t, b, now), number)
	}
	b.Obey(now, policy.BreakerVerdict{Number: 6, Order: policy.BreakerOpen, For: time.Second, Hold: 10 * time.Second})
	b.Obey(now, policy.BreakerVerdict{Number: 7, Order: policy.BreakerClose})
	if !do(b, now, false) {
		t.Error("not closed")
	}
}

// Without a word from the manager nothing stays open: each node probes by itself, when the hold is over or the stream is.
func TestNothingIsHeldForLong(t *testing.T) {
	open := policy.BreakerVerdict{Number: 1, Order: policy.BreakerOpen, For: 5 * time.Second, Hold: 10 * time.Second}
	b := sharedBreaker()
	b.Obey(t0, open)
	if do(b, t0.Add(14*time.Second), false) || !do(b, t0.Add(15*time.Second), false) {
		t.Error("the hold does not end")
	}
	b = sharedBreaker()
	b.Obey(t0, open)
	b.Release()
	if do(b, t0.Add(4*time.Second), false) || !do(b, t0.Add(5*time.Second), false) {
		t.Error("it does not go by itself when the manager is away")
	}
	b = sharedBreaker()
	open.For = 1000 * time.Hour
	b.Obey(t0, open)
	b.Release()
	if !do(b, t0.Add(time.Minute), false) {
		t.Error("it is open for longer than the policy lets it")
	}
	own, _ := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 3 })
	own.Obey(t0, open)
	if !do(own, t0, false) {
		t.Error("a breaker that the cluster does not share obeys")
	}
}

func TestForced(t *testing.T) {
	b, cfg := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })
	hour := Forced{Open: true, Until: t0.Add(time.Hour)}
	b.Force(t0, hour)
	for _, at := range []time.Duration{0, time.Minute, 59 * time.Minute} {
		if do(b, t0.Add(at), false) || b.OpenedBy(t0.Add(at)) != ByHand || b.Status(t0.Add(at)).State != Open {
			t.Errorf("not open after %s", at)
		}
	}
	other := *cfg
	other.ConsecutiveFailures = 3
	b.Reconfigure(&other)
	if do(b, t0, false) {
		t.Error("an edit of the block opens it")
	}
	b.Reconfigure(cfg)
	if end := t0.Add(time.Hour); !do(b, end, true) || b.OpenedBy(end) != ByNode || b.Status(end).State != Closed {
		t.Error("not closed when its time is over")
	}
	now := t0.Add(2 * time.Hour)
	b.Force(now, Forced{Until: now.Add(time.Minute)})
	for range 10 {
		if !do(b, now, true) {
			t.Fatal("it opens though it is to stay closed")
		}
	}
	now = now.Add(time.Minute)
	for range 2 {
		if !do(b, now, true) {
			t.Error("what failed while it was to stay closed counts afterwards")
		}
	}
	if do(b, now, true) {
		t.Error("it does not open by itself afterwards")
	}
	b.Force(now, Forced{Until: now.Add(time.Minute)})
	if !do(b, now, false) {
		t.Error("an open one is not closed")
	}
	b.Force(now, Forced{Open: true, Until: now.Add(time.Minute)})
	b.Force(now, Forced{})
	if !do(b, now, false) {
		t.Error("not closed when it is taken back")
	}
}

// When it was kept open for long enough a breaker begins anew: all calls pass, and it opens for no longer than at first. What is over, and stays written, has it
// begin anew once, and not at every edit.
func TestABreakerBeginsAnewOnceItWasForcedOpen(t *testing.T) {
	b, cfg := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures, b.OpenJitterPercent = 1, 0 })
	do(b, t0, true)
	now := t0.Add(cfg.OpenDuration)
	do(b, now, true) // the probe
	minute := Forced{Open: true, Until: now.Add(time.Minute)}
	b.Force(now, minute)
	b.Force(now, Forced{Open: true, Until: now.Add(2 * time.Minute)})
	b.Force(now, minute)
	if n := b.Status(now).Opened; n != 3 {
		t.Errorf("opened %d times, want twice by itself and once by hand", n)
	}
	now = minute.Until
	first, ok := b.Allow(now)
	if second, both := b.Allow(now); !ok || !both || first.Probe() || second.Probe() {
		t.Errorf("calls pass: %v, %v", ok, both)
	}
	do(b, now, true)
	for range 2 {
		b.Force(now, minute) // by an edit elsewhere
		if s := b.Status(now); s.State != Open || !s.Until.Equal(now.Add(cfg.OpenDuration)) {
			t.Errorf("%+v", s)
		}
	}
}

// So does one that was kept closed, however long it had been open by itself before.
func TestABreakerBeginsAnewOnceItWasForcedClosed(t *testing.T) {
	b, cfg := testBreaker(func(b *policy.Breaker) { b.ConsecutiveFailures, b.OpenJitterPercent = 1, 0 })
	do(b, t0, true)
	now := t0.Add(cfg.OpenDuration)
	do(b, now, true) // the probe
	b.Force(now, Forced{Until: now.Add(time.Minute)})
	now = now.Add(time.Minute)
	if do(b, now, true); b.Status(now).Until.Sub(now) != cfg.OpenDuration {
		t.Errorf("%+v", b.Status(now))
	}
}

// While a breaker is kept closed its windows count nothing, so that they are empty when that is over.
func TestAForcedBreakerCountsFromTheBeginning(t *testing.T) {
	b, _ := testBreaker(func(b *policy.Breaker) {
		b.ConsecutiveFailures = 0
		b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 4, Window: time.Minute}
	})
	b.Force(t0, Forced{Until: t0.Add(time.Second)})
	for i := range 30 {
		do(b, t0.Add(time.Duration(i)*time.Millisecond), i%3 > 0)
	}
	now := t0.Add(time.Second)
	for i, failed := range []bool{false, true, false, true} {
		if !do(b, now, failed) {
			t.Fatalf("rejected after %d calls", i)
		}
	}
	if do(b, now, false) {
		t.Error("two failures of four do not open it")
	}
}

// A breaker that was kept open by the cluster, and was forgotten since nobody called, opens by itself as any other.
func TestWhatTheClusterHeldIsForgotten(t *testing.T) {
	b := sharedBreaker()
	b.Obey(t0, policy.BreakerVerdict{Number: 1, Order: policy.BreakerOpen, For: time.Second, Hold: time.Second})
	now := t0.Add(time.Hour)
	for range 3 {
		if !do(b, now, true) {
			t.Fatal("it is still open")
		}
	}
	if do(b, now, true) || b.OpenedBy(now) != ByNode {
		t.Errorf("opened by %d", b.OpenedBy(now))
	}
}

// What the manager says again, to remind, and what a node has found out by itself do not undo each other.
func TestARemindedNodeKeepsWhatItSees(t *testing.T) {
	b := sharedBreaker()
	order := func(n uint64, o policy.BreakerOrder) policy.BreakerVerdict {
		return policy.BreakerVerdict{Number: n, Order: o, For: 5 * time.Second, Hold: 10 * time.Second}
	}
	fail := func(now time.Time) time.Duration {
		for range 3 {
			do(b, now, true)
		}
		return b.Status(now).Until.Sub(now)
	}
	do(b, t0, false)
	if view := viewAt(t, b, t0); view != policy.BreakerGood {
		t.Errorf("after the first call: %d", view)
	}
	first := fail(t0)
	if b.Obey(t0, order(1, policy.BreakerOpen)); b.Status(t0).Opened != 1 {
		t.Errorf("%+v: it was open", b.Status(t0))
	}
	if do(b, t0, false) || viewAt(t, b, t0) != policy.BreakerRefusing {
		t.Error("a call is not refused")
	}
	now := t0.Add(time.Second)
	if b.Obey(now, order(2, policy.BreakerProbe)); viewAt(t, b, now) != policy.BreakerWaiting {
		t.Errorf("before it probes: %d", viewAt(t, b, now))
	}
	do(b, now, true)
	b.Obey(now, order(3, policy.BreakerOpen))
	if view := viewAt(t, b, now); view != policy.BreakerHeld {
		t.Errorf("when it is open anew, and has refused nothing since: %d", view)
	}
	b.Obey(now, order(4, policy.BreakerClose))
	if again := fail(now); again != first {
		t.Errorf("once it was closed it opens for %v, want %v as at first", again, first)
	}
	if b.Obey(now, order(4, policy.BreakerClose)); do(b, now, false) {
		t.Error("a reminder closes what has opened since")
	}
	if b.Release(); numberOf(b, now) != 0 {
		t.Error("it goes by a decision of a manager that is away")
	}
}

func numberOf(b *Breaker, now time.Time) uint64 {
	_, number, _ := b.View(now)
	return number
}

// A node that goes by itself while the cluster's open time runs has its first probe double that.
func TestTheClustersOpenTimeGrowsOnANodeByItself(t *testing.T) {
	b := sharedBreaker()
	b.Obey(t0, policy.BreakerVerdict{Number: 1, Order: policy.BreakerOpen, For: 5 * time.Second, Hold: 10 * time.Second})
	b.Release()
	now := t0.Add(5 * time.Second)
	if do(b, now, true); b.Status(now).Until.Sub(now) != 10*time.Second {
		t.Errorf("%+v", b.Status(now))
	}
}

// What is said by hand stands above what the cluster says.
func TestForcedStandsAboveTheCluster(t *testing.T) {
	b := sharedBreaker()
	b.Force(t0, Forced{Until: t0.Add(time.Minute)})
	b.Obey(t0, policy.BreakerVerdict{Number: 1, Order: policy.BreakerOpen, For: time.Hour, Hold: time.Hour})
	if !do(b, t0, false) {
		t.Error("the cluster opens what is to stay closed")
	}
	b.Force(t0, Forced{Open: true, Until: t0.Add(time.Minute)})
	b.Obey(t0, policy.BreakerVerdict{Number: 2, Order: policy.BreakerProbe})
	b.Obey(t0, policy.BreakerVerdict{Number: 3, Order: policy.BreakerClose})
	if do(b, t0, false) {
		t.Error("the cluster closes what is to stay open")
	}
}

// What the manager has opened meanwhile is open once the time is over for which it was to stay closed.
func TestTheClusterIsObeyedOnceForcedIsOver(t *testing.T) {
	open := policy.BreakerVerdict{Number: 1, Order: policy.BreakerOpen, For: time.Hour, Hold: time.Hour}
	for name, before := range map[string]bool{"opened before": true, "opened meanwhile": false} {
		b := sharedBreaker()
		if before {
			b.Obey(t0, open)
		}
		b.Force(t0, Forced{Until: t0.Add(time.Minute)})
		b.Obey(t0.Add(time.Second), open)
		if !do(b, t0.Add(time.Second), false) {
			t.Errorf("%s: not closed", name)
		}
		now := t0.Add(2 * time.Minute)
		if b.Obey(now, open); do(b, now, false) {
			t.Errorf("%s: the cluster is not obeyed", name)
		}
	}
}
