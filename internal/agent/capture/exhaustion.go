package capture

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// New connections go direct for so long after the node ran out of something: the shortest time, or twice the last one where it runs out
	// again soon after that. Else it would come and go every few seconds, and with it the conditions of all policies.
	shortestPause, longestPause = 5 * time.Second, 80 * time.Second
	// relapse is how soon after the end of a pause running out again counts as the same shortage.
	relapse = time.Minute
)

// exhaustion remembers that the node or the agent ran out of descriptors or memory. Times are durations since the start: the clock may be
// set.
type exhaustion struct {
	// immutable
	sinceStart func() time.Duration
	spare      func() bool // whether there are descriptors to go on with

	mu     sync.Mutex
	until  time.Duration // when new connections may come to the agent again
	pause  time.Duration // how long the last pause is
	active bool          // until it was found to be over
}

// happened records that something was not to be had.
func (e *exhaustion) happened() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.sinceStart()
	switch {
	case e.active:
	case e.pause > 0 && now < e.until+e.pause+relapse:
		e.pause = min(2*e.pause, longestPause)
	default:
		e.pause = shortestPause
	}
	e.active, e.until = true, now+e.pause
}

// lasts reports whether new connections must go direct still.
func (e *exhaustion) lasts() bool {
	active, over := e.state()
	if !over || !e.spare() {
		return active
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.sinceStart(); now >= e.until {
		e.active, e.until = false, now
	}
	return e.active
}

// state reports whether a shortage is under way, and whether its pause is over.
func (e *exhaustion) state() (active, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active, e.active && e.sinceStart() >= e.until
}

// sparePercent is the share of the limit of descriptors below which there are some to spare.
const sparePercent = 90

// spareDescriptors reports whether the process uses clearly fewer descriptors than it may. Not knowing the limit is no reason to wait.
func spareDescriptors() bool {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return true
	}
	folder, err := os.Open("/proc/self/fd")
	if err != nil {
		return !exhausted(err)
	}
	defer func() { _ = folder.Close() }()
	used := uint64(0)
	for {
		names, err := folder.Readdirnames(1024)
		used += uint64(len(names))
		if errors.Is(err, io.EOF) {
			return used < min(limit.Cur, math.MaxInt32)*sparePercent/100
		}
		if err != nil {
			return !exhausted(err)
		}
	}
}
