package main

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The files in the docs are what the code makes, byte for byte, and what the page says of them is so.
func TestStudy(t *testing.T) {
	study := map[string][]outcome{}
	for _, m := range models() {
		var err error
		if study[m.name], err = simulate(m, published); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("files", func(t *testing.T) { checkFiles(t, study) })
	for name, bounds := range claims {
		t.Run(name, func(t *testing.T) {
			for i := range study[name] {
				o := &study[name][i]
				bounds[o.file].check(t, o)
			}
		})
	}
}

func checkFiles(t *testing.T, study map[string][]outcome) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors round a product and a sum in one step, which moves curves by a hair")
	}
	const docs = "../../docs"
	page, err := os.ReadFile(filepath.Join(docs, "study.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render(string(page), study)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(docs, name)); err != nil || string(got) != want {
			t.Errorf("docs/%s is not what the code makes: run make study (%v)", name, err)
		}
		if strings.HasSuffix(name, ".svg") {
			wellFormed(t, name, want)
		}
	}
}

func wellFormed(t *testing.T, name, text string) {
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// claim is what docs/study.md says of a policy at an upstream.
type claim struct {
	overload, after [2]float64 // within which goodput is while the overload lasts, and when it is over
	attempts        [2]float64 // within which attempts per call are while the overload lasts
	p99             time.Duration
	// within is how soon all is well again after the overload; 0: not at all in the run.
	within time.Duration
}

var (
	none = [2]float64{0, 0.05}
	full = [2]float64{0.97, 1.03}
)

var claims = map[string]map[string]claim{
	"queueing": {
		"no-retries":     {overload: none, after: [2]float64{0.3, 0.6}, attempts: [2]float64{1, 1.01}, within: 75 * time.Second},
		"naive":          {overload: none, after: none, attempts: [2]float64{3.9, 4.1}},
		"budget":         {overload: none, after: none, attempts: [2]float64{1.15, 1.21}},
		"breaker":        {overload: [2]float64{0.2, 0.6}, after: full, attempts: [2]float64{0.4, 0.8}, within: 20 * time.Second},
		"rate-limit-400": {overload: [2]float64{0, 0.15}, after: none, attempts: [2]float64{0.95, 1.05}},
		"rate-limit-360": {overload: [2]float64{0.86, 0.91}, after: full, attempts: [2]float64{0.7, 0.76}, p99: 200 * time.Millisecond, within: time.Second},
		"adaptive":       {overload: [2]float64{0.95, 1.02}, after: full, attempts: [2]float64{0.78, 0.85}, p99: 250 * time.Millisecond, within: time.Second},
		"all":            {overload: [2]float64{0.95, 1.02}, after: full, attempts: [2]float64{0.78, 0.85}, p99: 250 * time.Millisecond, within: time.Second},
	},
	"shedding": {
		"no-retries":     {overload: full, after: full, attempts: [2]float64{1, 1.01}, p99: 500 * time.Millisecond, within: 5 * time.Second},
		"naive":          {overload: full, after: full, attempts: [2]float64{1.8, 3}, p99: 600 * time.Millisecond, within: 5 * time.Second},
		"budget":         {overload: full, after: full, attempts: [2]float64{1.15, 1.21}, p99: 500 * time.Millisecond, within: 5 * time.Second},
		"breaker":        {overload: full, after: full, attempts: [2]float64{1.15, 1.21}, p99: 500 * time.Millisecond, within: 5 * time.Second},
		"rate-limit-400": {overload: full, after: full, attempts: [2]float64{0.8, 0.9}, p99: 500 * time.Millisecond, within: 5 * time.Second},
		"rate-limit-360": {overload: [2]float64{0.86, 0.91}, after: full, attempts: [2]float64{0.7, 0.76}, p99: 200 * time.Millisecond, within: time.Second},
		"adaptive":       {overload: [2]float64{0.95, 1.02}, after: full, attempts: [2]float64{0.78, 0.85}, p99: 250 * time.Millisecond, within: time.Second},
		"all":            {overload: [2]float64{0.95, 1.02}, after: full, attempts: [2]float64{0.78, 0.85}, p99: 250 * time.Millisecond, within: time.Second},
	},
}

func (c claim) check(t *testing.T, o *outcome) {
	for name, v := range map[string]struct {
		got  float64
		want [2]float64
	}{
		"goodput in the overload": {o.goodput("overload"), c.overload},
		"goodput after it":        {o.goodput("after"), c.after},
		"attempts per call":       {o.amplification("overload"), c.attempts},
	} {
		if !(v.want[0] <= v.got && v.got <= v.want[1]) {
			t.Errorf("%s: %s is %.3f, want it from %v to %v", o.name, name, v.got, v.want[0], v.want[1])
		}
	}
	if p, _ := o.during("overload"); c.p99 > 0 && p.quantile(0.99) > c.p99 {
		t.Errorf("%s: the 99th percentile is %v, want %v at most", o.name, p.quantile(0.99), c.p99)
	}
	if after, ok := o.recovered(); ok != (c.within > 0) || ok && after > c.within {
		t.Errorf("%s: well again %v, after %v; want within %v", o.name, ok, after, c.within)
	}
}

// Every call that has come is counted once, with what has become of it.
func TestNothingIsLost(t *testing.T) {
	for _, s := range scenarios() {
		settings, err := s.settings()
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(models()[1], settings, published)
		all := w.run().between(0, phases[len(phases)-1].until)
		if under := w.callers - len(w.idle); all.offered != all.good+all.rejected+all.failed+under {
			t.Errorf("%s: %d calls came, %d were answered, %d rejected, %d failed, %d are under way", s.name, all.offered, all.good, all.rejected, all.failed, under)
		}
	}
}

// The same seed gives the same run, another one another.
func TestARunIsItsSeeds(t *testing.T) {
	s := scenarios()[len(scenarios())-1]
	settings, err := s.settings()
	if err != nil {
		t.Fatal(err)
	}
	of := func(seed uint64) string { return csv([]outcome{{s, newWorld(models()[0], settings, seed).run()}}) }
	once, again, other := of(1), of(1), of(2)
	if once != again {
		t.Error("the same seed has given two different runs")
	}
	if once == other {
		t.Error("two seeds have given the same run")
	}
}

// A limit of exactly what the upstream can serve has nothing in reserve, so that chance decides: the page says in how many runs of twenty it does not
// hold. These are one of either kind, by the seeds of the page's count.
func TestALimitAtTheCapacityIsAMatterOfChance(t *testing.T) {
	for seed, held := range map[uint64]bool{published: false, 2: true} {
		for _, s := range scenarios() {
			if s.file != "rate-limit-400" {
				continue
			}
			settings, err := s.settings()
			if err != nil {
				t.Fatal(err)
			}
			o := outcome{s, newWorld(models()[0], settings, seed).run()}
			if _, well := o.recovered(); well != held || (o.goodput("overload") > 0.95) != held {
				t.Errorf("seed %d: goodput %.2f, well again %v; want %v", seed, o.goodput("overload"), well, held)
			}
		}
	}
}

// Beside an adaptive limit nothing fails, so that the breaker has nothing to do.
func TestTheBreakerStaysClosedBesideAnAdaptiveLimit(t *testing.T) {
	all := scenarios()
	settings, err := all[len(all)-1].settings()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(models()[0], settings, published)
	w.run()
	for _, n := range w.nodes {
		if s := n.plan.Breaker.Status(w.clock.time()); s.Opened > 0 {
			t.Errorf("%s: it has opened %d times", n.name, s.Opened)
		}
	}
}
