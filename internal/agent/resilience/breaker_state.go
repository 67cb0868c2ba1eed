package resilience

import "time"

// State is where a Breaker stands.
type State uint8

// The breaker states.
const (
	// Closed: calls pass and are counted.
	Closed State = iota
	// Open: calls are rejected until the open time is over.
	Open
	// HalfOpen: a bounded number of calls passes to probe the upstream, the others are rejected.
	HalfOpen
)

// String returns the state as metrics and statuses show it.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	}
	return "unknown"
}

// Permit is the permission to make one attempt. The zero Permit is none. Every Permit goes back exactly once, to Done or to Cancel.
type Permit struct {
	epoch uint64
	probe uint64 // names the probe; 0: the breaker was closed
}

// Held reports whether p has to go back.
func (p Permit) Held() bool { return p.epoch != 0 }

// Probe reports whether p is that of a probe, on whose result others wait.
func (p Permit) Probe() bool { return p.probe != 0 }

// Result is how a permitted attempt ended, or a call that a gate let in.
type Result struct {
	// Failed: the attempt ended in one of the breaker's failure conditions.
	Failed bool
	// GivenUp: the caller left before the attempt ended. It counts as slow if it was, and as neither a failure nor a success.
	GivenUp bool
	// Shard is the caller's: callers with different shards do not slow each other down.
	Shard uint8
	// Took is how long the upstream was waited for.
	Took time.Duration
	// Unstarted: a call that a gate let in was refused behind it, so that no attempt was made. TimedOut: one of the call's deadlines ended it.
	// Of attempts neither is said.
	Unstarted, TimedOut bool
}

// Status is what a Breaker tells of itself.
type Status struct {
	State State
	// Since is when the state began; zero while closed.
	Since time.Time
	// Until is the end of the open time; zero unless State is Open.
	Until time.Time
	// Opened counts how often the breaker has opened.
	Opened uint64
}
