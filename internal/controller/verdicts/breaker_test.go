package verdicts

import (
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newBreaker() *Breaker {
	cfg := policy.DefaultBreaker()
	cfg.OpenDuration, cfg.OpenMaxDuration = 2*time.Second, 10*time.Second
	var number uint64
	return New(&cfg, t0, func() uint64 { number++; return number }, func() float64 { return 0.5 })
}

func on(node string) Member { return Member{node, "agent-" + node} }

// order is what an agent is to do at a time.
func order(b *Breaker, now time.Time, node string) policy.BreakerOrder {
	return b.Verdict(now, on(node)).Order
}

func TestWhichNodesOpenABreakerForAll(t *testing.T) {
	const o, f, g, i = policy.BreakerOpened, policy.BreakerFailing, policy.BreakerGood, policy.BreakerIdle
	tests := map[string]struct {
		views []policy.BreakerView
		opens bool
	}{
		"one of one":                                        {[]policy.BreakerView{o}, false},
		"one, and others do not call":                       {[]policy.BreakerView{o, i, i}, false},
		"one, and it works for another":                     {[]policy.BreakerView{o, g}, false},
		"one, and it works for no other":                    {[]policy.BreakerView{o, f}, true},
		"one, and it works for one of many":                 {[]policy.BreakerView{o, f, f, f, g}, false},
		"none, and it works for nobody":                     {[]policy.BreakerView{f, f, f}, false},
		"two of two":                                        {[]policy.BreakerView{o, o}, true},
		"two of four":                                       {[]policy.BreakerView{o, o, g, g}, true},
		"two of five":                                       {[]policy.BreakerView{o, o, g, g, g}, false},
		"two of five that call":                             {[]policy.BreakerView{o, o, g, g, i, i, i}, true},
		"two of five, and it fails for one":                 {[]policy.BreakerView{o, o, f, g, g}, false},
		"three of five":                                     {[]policy.BreakerView{o, o, o, g, g}, true},
		"half-open breakers of nodes are no closed ones":    {[]policy.BreakerView{policy.BreakerWaiting, policy.BreakerProbing, g, g}, true},
		"a node that is kept open by the cluster is silent": {[]policy.BreakerView{o, policy.BreakerHeld, policy.BreakerRefusing}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBreaker()
			for n, v := range slices.Backward(tt.views) { // that it works was known before
				b.Report(t0, on(string(rune('a'+n))), v, 0)
			}
			if !b.Closed() != tt.opens {
				t.Errorf("open %v, want %v", !b.Closed(), tt.opens)
			}
		})
	}
}

// Two agents of one node are one voice, and one of them that sees the destination work is enough.
func TestANodeHasOneVoice(t *testing.T) {
	b := newBreaker()
	b.Report(t0, Member{"a", "old"}, policy.BreakerOpened, 0)
	b.Report(t0, Member{"a", "new"}, policy.BreakerOpened, 0)
	if !b.Closed() {
		t.Error("two agents of one node opened it")
	}
	b.Report(t0, on("b"), policy.BreakerGood, 0)
	b.Report(t0, Member{"b", "new"}, policy.BreakerOpened, 0)
	if !b.Closed() {
		t.Error("opened, though it works for an agent of the second node")
	}
}

func opened(t *testing.T, nodes ...string) *Breaker {
	t.Helper()
	b := newBreaker()
	for _, n := range nodes {
		b.Report(t0, on(n), policy.BreakerOpened, 0)
	}
	if order(b, t0, nodes[0]) != policy.BreakerOpen || order(b, t0, "another") != policy.BreakerOpen {
		t.Fatal("not open for all")
	}
	return b
}

func TestTheLifeOfABreaker(t *testing.T) {
	b := opened(t, "a", "b", "c")
	if v := b.Verdict(t0, on("a")); v.For != 2*time.Second || v.Hold != Hold {
		t.Errorf("%+v", v)
	}
	number := b.Number()
	b.Report(t0, on("a"), policy.BreakerRefusing, number)
	b.Report(t0, on("b"), policy.BreakerRefusing, number)
	now := t0.Add(2 * time.Second)
	b.Tick(now)
	probers := 0
	var prober string
	for _, n := range []string{"a", "b", "c", "another"} {
		if order(b, now, n) == policy.BreakerProbe {
			probers, prober = probers+1, n
		}
	}
	if probers != 1 || prober != "a" {
		t.Fatalf("%d probe, the last one is %s", probers, prober)
	}
	grant := b.Verdict(now, on("a")).Number
	b.Report(now, on("a"), policy.BreakerWaiting, grant)
	b.Report(now, on("a"), policy.BreakerProbing, grant)
	b.Report(now, on("a"), policy.BreakerOpened, grant)
	if v := b.Verdict(now, on("a")); v.Order != policy.BreakerOpen || v.For != 4*time.Second {
		t.Errorf("after a failed probe: %+v", v)
	}
	for _, n := range []string{"a", "b"} {
		b.Report(now, on(n), policy.BreakerRefusing, b.Number())
	}
	now = now.Add(4 * time.Second)
	b.Tick(now)
	if order(b, now, "a") == policy.BreakerProbe || order(b, now, "b") != policy.BreakerProbe {
		t.Error("the node whose probe failed probes again, though another calls")
	}
	b.Report(now, on("b"), policy.BreakerGood, b.Verdict(now, on("b")).Number)
	if !b.Closed() || order(b, now, "a") != policy.BreakerClose {
		t.Error("not closed")
	}
	// What was said before it closed does not count.
	b.Report(now, on("a"), policy.BreakerOpened, number)
	b.Report(now, on("c"), policy.BreakerOpened, number)
	if !b.Closed() {
		t.Error("opened by what was seen before")
	}
	for _, n := range []string{"a", "b", "c"} {
		b.Report(now, on(n), policy.BreakerIdle, b.Number())
	}
	if !b.Idle() {
		t.Error("remembered, though nobody has anything to say")
	}
}

func TestANodeThatDoesNotProbeMakesRoomForAnother(t *testing.T) {
	probes := func(lose func(b *Breaker, now time.Time)) {
		t.Helper()
		b := opened(t, "a", "b")
		b.Report(t0, on("a"), policy.BreakerRefusing, b.Number())
		now := t0.Add(2 * time.Second)
		b.Tick(now)
		if order(b, now, "a") != policy.BreakerProbe {
			t.Fatal("a does not probe")
		}
		b.Report(now, on("b"), policy.BreakerRefusing, b.Number())
		if order(b, now, "b") != policy.BreakerOpen {
			t.Fatal("two probe")
		}
		lose(b, now)
		now = now.Add(Patience + time.Millisecond)
		b.Tick(now)
		if order(b, now, "a") != policy.BreakerOpen || order(b, now, "b") != policy.BreakerProbe {
			t.Error("b does not probe in its place")
		}
	}
	probes(func(*Breaker, time.Time) {})
	probes(func(b *Breaker, now time.Time) { b.Lost(now, on("a")) })
	// One with a probe under way keeps its turn.
	b := opened(t, "a", "b")
	for _, n := range []string{"a", "b"} {
		b.Report(t0, on(n), policy.BreakerRefusing, b.Number())
	}
	now := t0.Add(2 * time.Second)
	b.Tick(now)
	b.Report(now, on("a"), policy.BreakerProbing, b.Verdict(now, on("a")).Number)
	for range 100 {
		now = now.Add(time.Second)
		b.Tick(now)
	}
	if order(b, now, "a") != policy.BreakerProbe {
		t.Error("another one probes while a probe is under way")
	}
}

// Whose turn is over without a probe has another one when it goes by what all do again and refuses calls: what it says by then is heard.
func TestTurnsToProbeGoAround(t *testing.T) {
	b := opened(t, "a", "b")
	now := t0.Add(2 * time.Second)
	b.Tick(now)
	var turns []string
	for range 6 {
		for _, n := range []string{"a", "b"} {
			if v := b.Verdict(now, on(n)); v.Order == policy.BreakerOpen {
				b.Report(now, on(n), policy.BreakerRefusing, v.Number)
			}
		}
		for _, n := range []string{"a", "b"} {
			if order(b, now, n) == policy.BreakerProbe {
				turns = append(turns, n)
			}
		}
		now = now.Add(Patience + time.Millisecond)
		b.Tick(now)
	}
	if want := []string{"a", "b", "a", "b", "a", "b"}; !slices.Equal(turns, want) {
		t.Errorf("%v probe one after the other, want %v", turns, want)
	}
}

// What nodes say before they have heard that it has closed does not open it again.
func TestWhatWasSeenBeforeItClosedHasNoSay(t *testing.T) {
	b := opened(t, "a", "b", "c")
	now := t0.Add(2 * time.Second)
	b.Report(now, on("a"), policy.BreakerRefusing, b.Number())
	b.Tick(now)
	before := b.Number()
	b.Report(now, on("a"), policy.BreakerGood, b.Verdict(now, on("a")).Number)
	if !b.Closed() || b.Number() == before {
		t.Fatal("a good probe has not closed it")
	}
	for _, n := range []string{"a", "b", "c"} {
		b.Report(now, on(n), policy.BreakerOpened, before)
	}
	if !b.Closed() {
		t.Error("opened by what was seen before")
	}
	for _, n := range []string{"a", "b", "c"} {
		b.Report(now, on(n), policy.BreakerOpened, b.Number())
	}
	if b.Closed() {
		t.Error("not opened by what was seen since")
	}
}

// Nodes that have nothing to say are not remembered while it is open either: there may be thousands.
func TestNodesThatSayNothingAreNotRemembered(t *testing.T) {
	b := opened(t, "a", "b")
	b.Report(t0, on("c"), policy.BreakerIdle, b.Number())
	if len(b.members) != 2 {
		t.Errorf("%d nodes are remembered, want the two that have opened it", len(b.members))
	}
}

// Once nobody calls any more it closes, and nodes are reminded as long as it is not closed.
func TestABreakerThatNobodyAsksCloses(t *testing.T) {
	b := opened(t, "a", "b")
	reminders := 0
	for now := t0; now.Before(t0.Add(2*time.Second + 20*time.Second)); now = now.Add(100 * time.Millisecond) {
		before := b.Revision()
		b.Tick(now)
		if b.Revision() != before {
			reminders++
		}
		if b.Closed() {
			t.Fatal("closed too soon")
		}
	}
	b.Tick(t0.Add(23 * time.Second))
	if !b.Closed() || reminders < 4 {
		t.Errorf("closed %v, after %d reminders", b.Closed(), reminders)
	}
}

// A new leader opens nothing before those can have objected for whom the destination works.
func TestANewLeaderWaits(t *testing.T) {
	b := newBreaker()
	b.opensAt = t0.Add(LeaderWaits)
	b.Report(t0, on("a"), policy.BreakerOpened, 0)
	b.Report(t0, on("b"), policy.BreakerOpened, 0)
	if !b.Closed() || !b.Due() {
		t.Error("opened at once, or never")
	}
	b.Tick(t0.Add(LeaderWaits))
	if b.Closed() {
		t.Error("not open")
	}
}
