package soak

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// violations are what a round has found.
type violations struct {
	mu    sync.Mutex
	list  []func() string
	count atomic.Int64
	// suspicions is how many of them a machine that is busy can look like.
	suspicions atomic.Int64
}

// shownViolations bounds how many a round shows.
const shownViolations = 12

// violation notes what no machine is too busy for: wrong bytes, an attempt or an execution too many, a limit or a budget exceeded, a call at the wrong
// place, an answer that nobody has given or before its time.
func (v *violations) violation(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.count.Add(1) <= shownViolations {
		v.list = append(v.list, func() string { return fmt.Sprintf(format, args...) })
	}
}

// suspicion notes what is wrong unless the machine has stopped for a while between what a client or a server does and what it writes down: something
// came late, or before what it follows was known to the agent.
func (v *violations) suspicion(format string, args ...any) {
	v.suspicions.Add(1)
	v.violation(format, args...)
}

// certain reports whether there is one that is no suspicion.
func (v *violations) certain() bool { return v.count.Load() > v.suspicions.Load() }

// repeats is how often a round with suspicions is played again.
const repeats = 4

// weigh fails for a round with violations. One that has suspicions alone is played again: it draws the same, so what is wrong with what it draws comes again,
// and fails; what does not is printed.
func weigh(t *testing.T, r *round) {
	t.Helper()
	if r.count.Load() == 0 {
		return
	}
	if r.certain() {
		judge(t, r)
		return
	}
	for range repeats {
		if next := checked(t, r.seed); next.count.Load() > 0 {
			judge(t, r)
			judge(t, next)
			return
		}
	}
	fmt.Fprintf(os.Stderr, "soak: %d suspicions in SOAK_ROUND=%d did not come again in %d rounds:\n", r.count.Load(), r.seed, repeats)
	for _, show := range r.list {
		fmt.Fprintln(os.Stderr, show())
	}
}

// judge fails for a round with violations.
func judge(t *testing.T, r *round) {
	t.Helper()
	for _, show := range r.list {
		t.Error(show())
	}
	if n := r.count.Load(); n > 0 {
		t.Errorf("%d violations in SOAK_ROUND=%d, of which %d may be the machine's", n, r.seed, r.suspicions.Load())
	}
}
