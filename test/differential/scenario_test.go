package differential

import (
	"cmp"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/policy"
)

// scenario is one thing that clients, servers and networks do.
type scenario struct {
	name    string
	kinds   []kind
	setting setting
	// prepare, if set, does what need not be done, and timed, in each run.
	prepare func() error
	// play performs it: it sets up servers, lets clients act, and returns when they are done.
	play func(r *run)
	// uncaptured: nothing need come by the agent.
	uncaptured bool
	// slack is by how much times may differ; 0 means a second. Programs take longer to start, all the more on a busy machine.
	slack time.Duration
	// heavy: it keeps the machine busy, so only one of its kind is played at a time.
	heavy bool
	// wouldDiffer: a policy that asks for much would change the outcome, if it were enforced.
	wouldDiffer bool
	// differs lists what must differ in governed runs, and where.
	differs []difference
}

// busySlack is what programs' starts, and much work, may take more or less.
const busySlack = 3 * time.Second

func withSlack(list []scenario) []scenario {
	for i := range list {
		list[i].slack = busySlack
	}
	return list
}

// inTime says by how much times may differ.
func (s scenario) inTime(slack time.Duration) scenario {
	s.slack = slack
	return s
}

func heavy(list []scenario) []scenario {
	for i := range list {
		list[i].heavy = true
	}
	return withSlack(list)
}

// difference is something that must remain different. adjust turns what was seen directly into what must be seen governed.
type difference struct {
	id string
	// kinds are those in which it shows; nil means all.
	kinds  []kind
	adjust func(o *observation)
	// excuse replaces adjust where a difference may show or not: it takes it out of what was seen governed.
	excuse func(direct, governed *observation)
}

// theme is a group of scenarios.
type theme struct {
	name      string
	scenarios []scenario
}

var (
	// tries is how often a scenario is played before a difference counts: machines are busy.
	tries   = flag.Int("tries", 3, "how often a scenario is played before a difference counts")
	results = flag.String("results", "", "a file to which results are appended as they come")
)

// worldCount is how many scenarios are played at once. Most of them wait most of the time.
const worldCount = 16

var emptySnapshot = &policy.Snapshot{Workloads: map[string]*policy.Workload{}, Profiles: map[string]*policy.Profile{}, Destinations: map[string]*policy.Destination{}}

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil {
		_ = f.Value.Set("20")
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch())
		os.Exit(code)
	}))
}

// TestRule00_NoHarm plays every scenario under every kind of destination that it names, direct and governed.
func TestRule00_NoHarm(t *testing.T) {
	netnstest.Privileged(t)
	if missing := missingPrograms(); len(missing) > 0 {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatalf("programs are missing: %s; make test-deps installs them", strings.Join(missing, ", "))
		}
		t.Skipf("NOT RUN: programs are missing: %s; make test-deps installs them", strings.Join(missing, ", "))
	}
	s := newStage(t)
	for _, th := range themes() {
		t.Run(th.name, func(t *testing.T) {
			t.Parallel()
			for i := range th.scenarios {
				sc := &th.scenarios[i]
				t.Run(sc.name, func(t *testing.T) {
					t.Parallel()
					for _, k := range sc.kinds {
						t.Run(k.name, func(t *testing.T) {
							t.Parallel()
							s.test(t, sc, k)
						})
					}
				})
			}
		})
	}
}

// stage is what scenarios share: the worlds that are free.
type stage struct {
	worlds chan *world
	// untranslated is why kind translated cannot be played; nil if it can.
	untranslated error
	flaky        atomic.Int64
	played       atomic.Int64
	mu           sync.Mutex // of the results
	heavy        sync.Mutex // held by whoever plays what is heavy
}

// report writes a line, and what belongs to it, to -results: the test's own output comes only at the end.
func (s *stage) report(t *testing.T, word, details string) {
	if *results == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.OpenFile(*results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	check(t, err)
	defer func() { _ = f.Close() }()
	_, err = fmt.Fprintf(f, "%s %s\n%s", word, strings.TrimPrefix(t.Name(), "TestRule00_NoHarm/"), details)
	check(t, err)
}

func newStage(t *testing.T) *stage {
	s := &stage{worlds: make(chan *world, worldCount)}
	h := netnstest.Host(t)
	for range worldCount {
		s.worlds <- newWorld(t, h)
	}
	detach, err := translateService()
	if s.untranslated = err; err == nil {
		t.Cleanup(detach)
	}
	t.Cleanup(func() {
		t.Logf("played %d scenarios, %d of which had to be played again before both runs agreed", s.played.Load(), s.flaky.Load())
	})
	return s
}

func (s *stage) test(t *testing.T, sc *scenario, k kind) {
	if sc.heavy {
		s.heavy.Lock()
		defer s.heavy.Unlock()
	}
	if k.name == translated.name && s.untranslated != nil {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal(s.untranslated)
		}
		t.Skipf("NOT RUN: addresses cannot be translated: %v", s.untranslated)
	}
	if sc.prepare != nil {
		check(t, sc.prepare())
	}
	w := <-s.worlds
	defer func() { s.worlds <- w }()
	s.played.Add(1)
	var diff, before string
	for i := range *tries {
		before = diff
		direct, governed := w.perform(t, sc, k, false), w.perform(t, sc, k, true)
		if diff = sc.compare(k, direct, governed); diff == "" {
			t.Logf("both saw:\n%s", strings.Join(governed.lines(), "\n"))
			s.report(t, "ok", "")
			if i > 0 {
				s.flaky.Add(1)
				s.report(t, "flaky", before)
				t.Logf("FLAKY: direct and governed agreed only when played %d times; the last time but one:\n%s", i+1, before)
			}
			return
		}
		if t.Failed() {
			return
		}
	}
	s.report(t, "differs", diff)
	t.Errorf("%s: a policy that only names its destination changes what is seen (-direct +governed):\n%s", t.Name(), diff)
}

// perform plays the scenario once.
func (w *world) perform(t *testing.T, sc *scenario, k kind, governed bool) *observation {
	t.Helper()
	defer w.restore(t)
	r := w.newRun(t, sc, k, governed)
	var once sync.Once
	end := func() { once.Do(r.end) }
	defer end()
	r.begin()
	r.timed("everything", func() { sc.play(r) })
	end()
	if governed && !sc.uncaptured && r.dialled() && r.agent.Accepted() == 0 {
		t.Error("nothing came by the agent, so nothing is proved")
	}
	if governed && k.dryRun && (r.agent.looked.Load() == 0 || sc.wouldDiffer && r.agent.differing.Load() == 0) {
		t.Errorf("of %d calls the dry run would have treated %d differently, so nothing is proved", r.agent.looked.Load(), r.agent.differing.Load())
	}
	if governed {
		r.seen.reported = r.agent.reported
	}
	return r.seen
}

// compare says what differs and must not, or what does not differ and should.
func (sc *scenario) compare(k kind, direct, governed *observation) string {
	want := direct.clone()
	for _, d := range sc.differs {
		if d.kinds != nil && !slices.ContainsFunc(d.kinds, func(o kind) bool { return o.name == k.name }) {
			continue
		}
		if d.excuse != nil {
			d.excuse(want, governed)
			continue
		}
		before := want.clone()
		d.adjust(want)
		if slices.Equal(before.lines(), want.lines()) && maps.Equal(before.spans, want.spans) {
			return "the listed difference " + d.id + " does not show: what was seen directly is as it says\n" + strings.Join(direct.lines(), "\n")
		}
	}
	var out strings.Builder
	writeDiff(&out, want.lines(), governed.lines())
	for _, name := range slices.Sorted(maps.Keys(want.spans)) {
		if d, g := want.spans[name], governed.spans[name]; !sameClass(d, g, slower*cmp.Or(sc.slack, time.Second)) {
			out.WriteString("time of " + name + ": -" + d.String() + " +" + g.String() + "\n")
		}
	}
	if out.Len() > 0 {
		for _, line := range governed.reported {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

func mapsKeys[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }
