package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// deck deals the seeds of rounds: in every kindCount rounds there is one of each kind, each time in another of the variants.
type deck struct {
	rng   *rand.Rand
	kinds []kind // that are left before all come again
	dealt int
}

// deal returns the seed of the next round.
func (d *deck) deal() uint64 {
	if len(d.kinds) == 0 {
		for _, k := range d.rng.Perm(int(kindCount)) {
			d.kinds = append(d.kinds, kind(k))
		}
	}
	k := d.kinds[0]
	d.kinds = d.kinds[1:]
	variant := d.dealt / int(kindCount) % variants
	d.dealt++
	return seedOf(d.rng.Uint64(), k, variant)
}

// coverage counts what the checks of a round had something to say about, by name.
type coverage map[string]int

func (r *round) covers(what string) {
	if r.coverage == nil {
		r.coverage = coverage{}
	}
	r.coverage[what]++
}

// tally is what a soak has seen.
type tally struct {
	mu sync.Mutex
	deck
	total time.Duration // how long it is to last
	end   time.Time
	// goesOn: it lasts longer.
	goesOn bool

	rounds, calls, attempts, good, local, abandoned int
	reasons                                         coverage
	covered                                         coverage
}

// next returns the seed of the next round; more is false when the time is over. What is drawn is left to chance, so a soak that has not seen all that it
// needs goes on, for up to five times as long: on a busy machine few rounds fit a minute.
func (s *tally) next() (seed uint64, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := time.Since(s.end)
	if over < 0 {
		return s.deal(), true
	}
	lacking := s.lacking()
	if len(lacking) == 0 || over > 4*s.total {
		return 0, false
	}
	if !s.goesOn {
		s.goesOn = true
		fmt.Fprintf(os.Stderr, "soak: %v are over, and it goes on until it has seen enough of: %s\n", s.total, strings.Join(lacking, "; "))
	}
	return s.deal(), true
}

// lacking are the checks that have not had enough to check.
func (s *tally) lacking() (names []string) {
	if s.total < enough {
		return nil
	}
	for what, least := range needed {
		if s.covered[what] < least {
			names = append(names, what)
		}
	}
	slices.Sort(names)
	return names
}

func (s *tally) add(r *round) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.covered == nil {
		s.covered, s.reasons = coverage{}, coverage{}
	}
	s.rounds++
	for what, n := range r.coverage {
		s.covered[what] += n
	}
	for _, a := range r.accounts {
		s.calls++
		s.attempts += len(a.receipts)
		switch {
		case a.abandoned():
			s.abandoned++
		case a.reason != "":
			s.local++
			s.reasons[a.reason]++
		case a.whole && a.status == 200 && a.code == 0:
			s.good++
		}
	}
}

// enough is how long a soak is in which each check must have had something to check: a check that never had has not passed.
const enough = 45 * time.Second

// needed is how often each has to have.
var needed = coverage{
	"a response was compared":                                     5000,
	"a call fell back on another destination":                     100,
	"a call had a budget of zero":                                 100,
	"a call had to succeed":                                       10,
	"an attempt had to be in time":                                100,
	"an attempt had to have failed":                               100,
	"a deadline had to end a call":                                1,
	"the number of attempts was known":                            200,
	"the number of attempts was known under overrides":            50,
	"a call had to be repeated":                                   20,
	"a server's wish was a bound":                                 3,
	"a fallback had to answer":                                    10,
	"a fallback had to keep out":                                  3,
	"a response stood in for circuit_open":                        20,
	"a response stood in for rate_limited":                        5,
	"hedges were counted":                                         50,
	"a call was hedged":                                           10,
	"a rate was compared":                                         500,
	"a refusal by a rate had to have a cause":                     50,
	"all places of a limit were taken":                            10,
	"a refusal for want of places had to have a cause":            10,
	"an open circuit had to have a cause":                         100,
	"probes were counted that were under way":                     5,
	"a circuit had to open":                                       1,
	"a circuit had to open again":                                 3,
	"a circuit had to close":                                      1,
	"an endpoint had to be left alone":                            1,
	"a circuit had to be open by hand":                            20,
	"a circuit had to be closed by hand":                          20,
	"a circuit had to be open by hand no longer":                  1,
	"a probe of the cluster was counted":                          2,
	"the cluster had to open a circuit":                           1,
	"a circuit of the cluster had to let a well node's call pass": 20,
	"a call had to meet a fault":                                  20,
	"a call had to be held up by a fault":                         5,
	"a call had to meet no fault any more":                        20,
	"connecting had to end":                                       1,
	"a request had to be given up":                                1,
	"a response had to be given up":                               3,
	"a response had to be waited for":                             10,
	"an exchange had to end":                                      1,
	"a connection was passed through":                             20,
	"a connection had to end":                                     3,
}

func (s *tally) report(t *testing.T) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "soak: %v, %d rounds, %d calls, %d attempts; %d calls answered well, %d abandoned, %d answered by the agent: %v\n",
		time.Since(s.end.Add(-s.total)).Round(time.Second), s.rounds, s.calls, s.attempts, s.good, s.abandoned, s.local, s.reasons)
	names := make([]string, 0, len(s.covered))
	for what, n := range s.covered {
		names = append(names, fmt.Sprintf("soak: %7d times %s", n, what))
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a[19:], b[19:]) })
	fmt.Fprintln(os.Stderr, strings.Join(names, "\n"))
	if t.Failed() {
		return
	}
	for _, what := range s.lacking() {
		t.Errorf("%s %d times, want %d or more: the soak has not seen what it is to check", what, s.covered[what], needed[what])
	}
}
