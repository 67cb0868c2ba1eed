package shares

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// slowFairly is the slow way to divide fairly: a grain at a time, to whoever has the least of those who want more.
func slowFairly(demands []float64, whole float64) []float64 {
	const grains = 20_000
	out := make([]float64, len(demands))
	for range grains {
		least := -1
		for i := range out {
			if out[i] < demands[i] && (least < 0 || out[i] < out[least]) {
				least = i
			}
		}
		if least < 0 {
			break
		}
		out[least] += whole / grains
	}
	left := whole
	for _, v := range out {
		left -= v
	}
	for i := range out {
		out[i] += max(left, 0) / float64(len(out))
	}
	return out
}

func TestDividedFairly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		demands := make([]float64, 1+random.IntN(8))
		for i := range demands {
			demands[i] = random.ExpFloat64() * 20
			if random.IntN(4) == 0 {
				demands[i] = 0
			}
		}
		got, want := fairly(demands, 100), slowFairly(demands, 100)
		sum := 0.0
		for i := range got {
			if sum += got[i]; math.Abs(got[i]-want[i]) > 0.05 {
				t.Fatalf("demands %v: got %v, want %v", demands, got, want)
			}
		}
		if math.Abs(sum-100) > 1e-9 {
			t.Fatalf("demands %v: %v is divided", demands, sum)
		}
	}
}

func give(d *Division, now time.Time) map[string]Share {
	out := map[string]Share{}
	for _, g := range d.Divide(now) {
		out[g.Node] = g.Share
	}
	return out
}

// A share grows by what another has said it does without, and not before.
func TestAShareGrowsWhenAnotherHasShrunk(t *testing.T) {
	d := NewDivision(Share{100, 100}, t0)
	d.AllKnown(t0)
	d.Join("a", Share{})
	d.Report("a", Report{Demand: 1000})
	first := d.Divide(t0)
	if len(first) != 1 || math.Abs(first[0].Share.Rate-100) > 1e-9 || math.Abs(first[0].Share.Burst-100) > 1e-9 {
		t.Fatalf("alone: %+v", first)
	}
	d.Report("a", Report{Demand: 1000, Serial: first[0].Serial})
	d.Join("b", Share{})
	d.Report("b", Report{Demand: 1000})
	second := d.Divide(t0)
	if len(second) != 1 || second[0].Node != "a" || math.Abs(second[0].Share.Rate-50) > 1e-9 {
		t.Fatalf("with another: %+v, want half of it called back, and nothing given yet", second)
	}
	d.Report("a", Report{Demand: 1000, Serial: first[0].Serial}) // from before
	if got := give(d, t0); len(got) != 0 {
		t.Errorf("%+v is given before it is there", got)
	}
	d.Report("a", Report{Demand: 1000, Serial: second[0].Serial})
	if got := give(d, t0); math.Abs(got["b"].Rate-50) > 1e-9 || len(got) != 1 {
		t.Errorf("then: %+v", got)
	}
}

// A node that has gone gives its share back after a while; one that comes back within it has what it had.
func TestAShareComesBackFromANodeThatHasGone(t *testing.T) {
	for name, tc := range map[string]struct {
		away time.Duration
		want float64 // of the other
	}{"for good": {returnAfter, 100}, "for a moment": {returnAfter - 1, 50}} {
		t.Run(name, func(t *testing.T) {
			d := NewDivision(Share{100, 100}, t0)
			d.AllKnown(t0)
			half := Share{50, 50}
			for _, node := range []string{"a", "b"} {
				d.Join(node, half)
				d.Report(node, Report{Demand: 1000})
			}
			d.Lost("b", t0)
			d.Lost("b", t0.Add(time.Second)) // once more
			got := half.Rate
			if s, changed := give(d, t0.Add(tc.away))["a"]; changed {
				got = s.Rate
			}
			if math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("the other has %v, want %v", got, tc.want)
			}
		})
	}
}

// A new leader leaves nodes what they hold, and gives nothing that one may hold which it has not heard of.
func TestANewLeaderGivesNothingAwayAtFirst(t *testing.T) {
	d := NewDivision(Share{100, 100}, t0)
	d.Join("a", Share{40, 40})
	d.Report("a", Report{Demand: 1000})
	d.Join("idle", Share{20, 20})
	for range 5 {
		d.Report("idle", Report{})
	}
	was := Share{60, 60}
	if got := d.Divide(t0.Add(newLeaderHolds - 1)); len(got) != 1 || got[0].Node != "idle" || got[0].Share.Rate > 5 {
		t.Errorf("%+v at first, want what is of no use called back", got)
	}
	d.Report("idle", Report{Serial: 1})
	if got := give(d, t0.Add(newLeaderHolds-1)); got["a"].Rate < 55 || got["a"].Rate > was.Rate {
		t.Errorf("%+v then, want what another has had, and no more", got)
	}
	d.Join("late", Share{40, 40})
	d.Report("late", Report{Demand: 1000})
	if got := give(d, t0.Add(newLeaderHolds)); got["a"].Rate > 60 {
		t.Errorf("%+v is given", got)
	}
}

// A node that connects to a new leader once more holds no more than before: what it holds is not given away twice.
func TestANewLeaderCountsANodeOnce(t *testing.T) {
	d := NewDivision(Share{100, 100}, t0)
	for range 2 {
		d.Join("a", Share{40, 40})
	}
	d.Report("a", Report{Demand: 1000})
	if got := d.Divide(t0.Add(newLeaderHolds - 1)); len(got) != 0 {
		t.Errorf("%+v is given away that others may hold", got)
	}
}

// What a node asks for that connects again is what it asked for before; of one that is new to the leader, at first what it holds.
func TestANodeThatJoinsNeedsWhatItHolds(t *testing.T) {
	for name, join := range map[string]func(d *Division){
		"new": func(*Division) {},
		"again": func(d *Division) {
			d.Lost("busy", t0)
			d.Join("busy", Share{95, 95})
		},
	} {
		d := NewDivision(Share{100, 100}, t0.Add(-newLeaderHolds))
		d.Join("busy", Share{95, 95})
		d.Join("other", Share{5, 5})
		join(d)
		d.Report("busy", Report{Demand: 95})
		if got, less := give(d, t0)["busy"]; less && got.Rate < 94 {
			t.Errorf("%s: %+v is left to it", name, got)
		}
	}
}

// The demand of a node that has nothing more to say fades.
func TestASilentNodeNeedsNothing(t *testing.T) {
	d := NewDivision(Share{100, 100}, t0.Add(-newLeaderHolds))
	d.Join("silent", Share{95, 95})
	d.Join("b", Share{5, 5})
	var last Share
	for range 20 {
		d.Report("b", Report{Demand: 1000, Serial: 1})
		for _, g := range d.Divide(t0) {
			if g.Node == "silent" {
				last = g.Share
			}
		}
	}
	if last.Rate <= 0 || last.Rate > 5 {
		t.Errorf("it has %+v in the end", last)
	}
}

// A node that never says that it goes by less is not waited for, and none is taken to hold more than there is.
func TestANodeThatDoesNotObeyKeepsNothingFromOthersForLong(t *testing.T) {
	d := NewDivision(Share{100, 100}, t0.Add(-newLeaderHolds))
	d.Join("deaf", Share{1e9, 1e9})
	d.Report("deaf", Report{Demand: 1000})
	d.Join("b", Share{1, 1})
	d.Report("b", Report{Demand: 1000})
	if got := give(d, t0); math.Abs(got["deaf"].Rate-50) > 1e-9 || len(got) != 1 {
		t.Fatalf("at first: %+v", got)
	}
	if got := give(d, t0.Add(obeyedWithin-1)); len(got) != 0 {
		t.Errorf("%+v is given too early", got)
	}
	if got := give(d, t0.Add(obeyedWithin)); math.Abs(got["b"].Rate-50) > 1e-9 {
		t.Errorf("then: %+v", got)
	}
}

// Where there is a token for each, each has one.
func TestEachNodeHasAToken(t *testing.T) {
	d := NewDivision(Share{100, 3}, t0.Add(-newLeaderHolds))
	for _, node := range []string{"a", "b", "c"} {
		d.Join(node, Share{})
	}
	for range 10 {
		d.Report("a", Report{Demand: 1000})
	}
	for node, s := range give(d, t0) {
		if s.Burst < 1 {
			t.Errorf("%s has %+v", node, s)
		}
	}
}
