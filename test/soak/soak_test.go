package soak

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent takes what servers of the standard library say about connections that break.
var silent = log.New(io.Discard, "", 0)

// defaultTime is how long the soak lasts unless SOAK_TIME says otherwise.
const defaultTime = 20 * time.Second

// TestSoak plays rounds until its time is over, or the one that SOAK_ROUND names.
func TestSoak(t *testing.T) {
	total := defaultTime
	if s := os.Getenv("SOAK_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("SOAK_TIME: %v", err)
		}
		total = d
	}
	if s := os.Getenv("SOAK_ROUND"); s != "" {
		judge(t, play(t, number(t, "SOAK_ROUND", s)))
		return
	}
	seed := rand.Uint64()
	if s := os.Getenv("SOAK_SEED"); s != "" {
		seed = number(t, "SOAK_SEED", s)
	}
	fmt.Fprintf(os.Stderr, "soak: SOAK_SEED=%d\n", seed)
	rounds := rand.New(rand.NewPCG(seed, 0))
	var sum tally
	for end := time.Now().Add(total); time.Now().Before(end) && !t.Failed(); {
		r := play(t, rounds.Uint64())
		judge(t, r)
		sum.add(r)
	}
	sum.report(t)
}

func number(t *testing.T, name, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// judge checks the accounts of a round.
func judge(t *testing.T, r *round) {
	t.Helper()
	r.check()
	for _, show := range r.list {
		show(t)
	}
	if n := r.count.Load(); n > 0 {
		t.Errorf("%d violations in SOAK_ROUND=%d", n, r.seed)
	}
}

// tally is what a soak has seen: a check that never had anything to check has not passed.
type tally struct {
	rounds, calls, attempts, good, local, abandoned, repeated, marked, rpcs, ejections, openings int
	reasons                                                                                      map[string]int
}

func (s *tally) add(r *round) {
	s.rounds++
	s.ejections += r.ejections
	s.openings += r.openings
	for _, a := range r.accounts {
		s.calls++
		s.attempts += len(a.receipts)
		if len(a.receipts) > 1 {
			s.repeated++
		}
		if a.marked {
			s.marked++
		}
		if a.rpc {
			s.rpcs++
		}
		switch {
		case a.abandoned():
			s.abandoned++
		case a.reason != "":
			s.local++
			if s.reasons == nil {
				s.reasons = map[string]int{}
			}
			s.reasons[a.reason]++
		case a.whole && a.status == 200 && a.code == 0:
			s.good++
		}
	}
}

func (s *tally) report(t *testing.T) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "soak: %d rounds, %d calls, %d attempts; %d calls answered well, %d with several attempts, %d marked as retries, %d of gRPC, %d abandoned, %d endpoints left alone, %d times a circuit had to open, %d answered by the agent: %v\n",
		s.rounds, s.calls, s.attempts, s.good, s.repeated, s.marked, s.rpcs, s.abandoned, s.ejections, s.openings, s.local, s.reasons)
	if s.rounds > 5 && (s.good < s.attempts/10 || s.repeated == 0 || s.local == 0 || s.abandoned == 0) {
		t.Error("the soak has not seen what it is to check")
	}
}
