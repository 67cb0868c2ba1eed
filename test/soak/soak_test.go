package soak

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent takes what servers of the standard library say about connections that break.
var silent = log.New(io.Discard, "", 0)

// defaultTime is how long the soak lasts unless SOAK_TIME says otherwise.
const defaultTime = 20 * time.Second

// players is how many rounds are played at once: most of the time they wait.
const players = 3

// TestSoak plays rounds until its time is over, or the one that SOAK_ROUND names.
func TestSoak(t *testing.T) {
	if s := os.Getenv("SOAK_ROUND"); s != "" {
		judge(t, checked(t, number(t, "SOAK_ROUND", s)))
		return
	}
	seed := rand.Uint64()
	if s := os.Getenv("SOAK_SEED"); s != "" {
		seed = number(t, "SOAK_SEED", s)
	}
	fmt.Fprintf(os.Stderr, "soak: SOAK_SEED=%d\n", seed)
	total := duration(t)
	sum := tally{deck: deck{rng: rand.New(rand.NewPCG(seed, 0))}, total: total, end: time.Now().Add(total)}
	var playing sync.WaitGroup
	for range players {
		playing.Go(func() {
			for !t.Failed() {
				seed, more := sum.next()
				if !more {
					return
				}
				t.Run(fmt.Sprintf("%v %d", kindOf(seed), seed), func(t *testing.T) {
					r := checked(t, seed)
					sum.add(r)
					weigh(t, r)
				})
			}
		})
	}
	playing.Wait()
	sum.report(t)
	if t.Failed() {
		t.Logf("the soak began with SOAK_SEED=%d", seed)
	}
}

// duration is how long the soak lasts.
func duration(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("SOAK_TIME")
	if s == "" {
		return defaultTime
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SOAK_TIME: %v", err)
	}
	return d
}

func number(t *testing.T, name, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// checked plays a round and checks its accounts.
func checked(t *testing.T, seed uint64) *round {
	t.Helper()
	r := play(t, seed)
	r.check()
	return r
}
