package soak

import (
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// kind is what a round is about. The seed of a round says which it is, and each kind is played about as often as the others.
type kind uint8

const (
	kindAny         kind = iota // all that needs no conditions of its own
	kindCalm                    // the same, and nothing fails but what the agent does wrong
	kindCircuit                 // a breaker that counts failures in a row
	kindWindow                  // one that looks at a window of time
	kindEndpoints               // breakers of single endpoints, of which one fails each call
	kindRate                    // a limit of calls per time
	kindSharedRate              // the node's share of one
	kindConcurrency             // a limit of calls at once
	kindOutage                  // a breaker, while all servers fail for a time
	kindRetries                 // what is repeated, and when, is known exactly
	kindHedges                  // the same of hedges
	kindForced                  // circuits that are kept open, or closed, by hand
	kindFaults                  // injected faults
	kindTimeouts                // what ends connections that cannot be made, and bodies that make no progress
	kindCluster                 // a breaker that two nodes share
	kindOpaque                  // connections that are passed through
	kindCount
)

// variants is in how many variants there are rounds of each kind: what some checks need to have something to check is not left to chance in one of them.
const variants = 4

// seedOf makes a seed that of a round of a kind, in a variant.
func seedOf(seed uint64, k kind, variant int) uint64 {
	const all = uint64(kindCount) * variants
	return seed - seed%all + uint64(variant)*uint64(kindCount) + uint64(k)
}

func kindOf(seed uint64) kind { return kind(seed % uint64(kindCount)) }

func variantOf(seed uint64) int { return int(seed / uint64(kindCount) % variants) }

// steady reports whether the agent stays the same in the whole round, so that what it counts does.
func (k kind) steady() bool { return k == kindEndpoints || k >= kindOutage }

// sound reports whether nothing fails but what the kind has fail.
func (k kind) sound() bool { return k == kindEndpoints || k >= kindOutage }

// fixed is what all policies of a round have in common, so that what is counted over time has one bound.
type fixed struct {
	kind        kind
	variant     int
	breaker     *policy.Breaker
	rate        *policy.RateLimit
	share       policy.Share // of the rate, if the cluster shares it
	concurrency *policy.Concurrency
	// ill: the first server fails each call and the others none, which breakers of single endpoints are to find out.
	ill bool
	// connections is how many a pod may have; 0: as many as it likes.
	connections int
	// sick: servers fail the calls of the first pod alone, which its node is not to open a circuit of the cluster for.
	sick bool
}

func drawFixed(rng *rand.Rand, seed uint64) (f fixed) {
	k, variant := kindOf(seed), variantOf(seed)
	f.kind, f.variant = k, variant
	switch k {
	case kindOpaque:
		switch rng.IntN(4) {
		case 0:
			f.drawRate(rng)
		case 1:
			f.connections = 1 + rng.IntN(3)
		}
	case kindForced:
		if variant > 0 && rng.IntN(2) == 0 {
			f.breaker = drawBreaker(rng, k)
		}
	case kindCircuit, kindWindow, kindEndpoints, kindOutage, kindCluster:
		f.breaker = drawBreaker(rng, k)
		f.ill, f.sick = k == kindEndpoints, k == kindCluster && variant%2 == 1
		if variant == 0 && (k == kindCircuit || k == kindCluster) { // it opens with each failure
			f.breaker.ConsecutiveFailures, f.breaker.Probes = 1, 1
		}
	case kindRate, kindSharedRate:
		f.drawRate(rng)
	case kindConcurrency:
		f.drawConcurrency(rng)
		if variant == 0 { // fewer places than clients
			f.concurrency.Max, f.concurrency.Adaptive, f.concurrency.Scope = 1+rng.IntN(2), nil, policy.ShareNode
		}
	}
	return f
}

func drawBreaker(rng *rand.Rand, k kind) *policy.Breaker {
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures, b.Sharing = 1+rng.IntN(4), oneOf(rng, policy.ShareNode, policy.SharePod)
	b.OpenDuration, b.OpenJitterPercent, b.Probes = between(rng, 100*time.Millisecond, 400*time.Millisecond), oneOf(rng, 0, 20), 1+rng.IntN(2)
	switch k {
	case kindForced:
		b.ConsecutiveFailures, b.OpenDuration = 1, 10*time.Second
	case kindEndpoints:
		b.Scope, b.MaxEjectedPercent, b.OpenDuration = policy.ScopeEndpoint, oneOf(rng, 34, 50, 100), 2*b.OpenDuration
	case kindWindow:
		drawWindow(rng, &b)
	case kindOutage, kindCluster:
		b.OpenDuration = between(rng, 60*time.Millisecond, 120*time.Millisecond)
		b.OpenMaxDuration, b.SuccessesToClose = 2*b.OpenDuration, 1+rng.IntN(2)
	}
	if k == kindCluster {
		b.Sharing = policy.ShareCluster
	}
	return &b
}

// fails reports whether all servers fail for a time.
func (k kind) fails() bool { return k == kindOutage || k == kindCluster }

// drawWindow has a breaker open for what a window of time has seen.
func drawWindow(rng *rand.Rand, b *policy.Breaker) {
	b.ConsecutiveFailures = 0
	percent, least, window := 20+rng.IntN(40), 2+rng.IntN(10), between(rng, 200*time.Millisecond, 2*time.Second)
	if rng.IntN(2) == 0 {
		b.ErrorRate = &policy.ErrorRate{Percent: percent, MinimumRequests: least, Window: window}
		return
	}
	b.SlowCalls = &policy.SlowCalls{Threshold: between(rng, 50*time.Millisecond, 200*time.Millisecond), Percent: percent / 3, MinimumRequests: least, Window: window}
}

func (f *fixed) drawRate(rng *rand.Rand) {
	f.rate = &policy.RateLimit{
		Requests: 20 + rng.IntN(300), Per: time.Second, Burst: 1 + rng.IntN(30), Scope: oneOf(rng, policy.SharePod, policy.ShareNode),
		MaxWait: oneOf(rng, 0, 50*time.Millisecond, 500*time.Millisecond),
	}
	if f.kind == kindSharedRate {
		f.rate.Scope, f.rate.Shared = policy.ShareCluster, "limit"
		whole, part := f.rate.Share(), 0.2+0.8*rng.Float64()
		f.share = policy.Share{Rate: part * whole.Rate, Burst: part * whole.Burst}
	}
}

// startable is what may be started: in any time burst calls and as many as its rate lets in.
func (f *fixed) startable() (rate, burst float64) {
	if f.rate.Scope == policy.ShareCluster {
		return f.share.Rate, max(f.share.Burst, 1)
	}
	return float64(f.rate.Requests) / f.rate.Per.Seconds(), float64(f.rate.Burst)
}

func (f *fixed) drawConcurrency(rng *rand.Rand) {
	f.concurrency = &policy.Concurrency{Max: 1 + rng.IntN(6), Scope: oneOf(rng, policy.SharePod, policy.ShareNode)}
	if rng.IntN(2) == 0 {
		f.concurrency.MaxQueued, f.concurrency.MaxWait = 1+rng.IntN(8), between(rng, 10*time.Millisecond, 300*time.Millisecond)
	}
	if rng.IntN(3) == 0 {
		f.concurrency.Adaptive = &policy.AdaptiveConcurrency{Min: 1 + rng.IntN(3), Max: f.concurrency.Max + 3}
		f.concurrency.Max = 0
	}
}

// places are how few and how many calls may be under way at once.
func (f *fixed) places() (least, most int) {
	if a := f.concurrency.Adaptive; a != nil {
		return a.Min, a.Max
	}
	return f.concurrency.Max, f.concurrency.Max
}
