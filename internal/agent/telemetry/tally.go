package telemetry

import (
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// tally is what is counted under a policy at one of its targets: N is atomic.Uint64 where it is counted, uint64 where it is added up.
type tally[N any] struct {
	calls    [resultCount][call.RetryDecisionCount]N // but for those of cut
	attempts [call.StartCount][resultCount]N
	// cut are those of the calls that would have been successes, but whose answer broke off: no report sees the one without the other.
	cut        [codeClasses][call.RetryDecisionCount]N
	callTook   [buckets]N
	tryTook    [buckets]N
	fallbacks  [call.FallbackAnswerCount]N
	hedges     [hedgeResults]N
	faults     [faultKinds]N
	grpc       [grpcStatuses]N
	tls        [len(tlsReasons)]N
	tunnels    [len(lifetimes) + 1]N
	handshakes [routes.HandshakeCount]N
	dryRun     [call.WouldCount]N
	totals     [totalCount]N
}

// What is counted by one number each.
const (
	callNanos = iota
	tryNanos
	brokenOff // responses
	opaqueOpened
	opaqueEnded
	opaqueSent     // bytes, by connections passed through, to their servers
	opaqueReceived // and from them
	tunnelNanos
	totalCount
)

// lists returns all the counters, in one order.
func (t *tally[N]) lists() [][]N {
	out := [][]N{
		t.callTook[:], t.tryTook[:], t.fallbacks[:], t.hedges[:], t.faults[:], t.grpc[:], t.tls[:], t.tunnels[:], t.handshakes[:], t.dryRun[:], t.totals[:],
	}
	for i := range t.calls {
		out = append(out, t.calls[i][:])
	}
	for i := range t.attempts {
		out = append(out, t.attempts[i][:])
	}
	for i := range t.cut {
		out = append(out, t.cut[i][:])
	}
	return out
}

// shard holds one set of counters. Cores that count in different shards do not disturb each other.
type shard struct {
	tally[atomic.Uint64]

	_ [64]byte // the next shard's first counters are not in the cache line of this one's last
}

// counts are sums of shards.
type counts struct{ tally[uint64] }

// plus adds other counts to c.
func (c *counts) plus(o *counts) {
	from := o.lists()
	for i, to := range c.lists() {
		for k := range to {
			to[k] += from[i][k]
		}
	}
}

// add adds what was counted in s to c.
func (c *counts) add(s *shard) {
	from := s.lists()
	for i, to := range c.lists() {
		for k := range to {
			to[k] += from[i][k].Load()
		}
	}
}

// ended is how many calls ended with a result and a decision.
func (c *counts) ended(r result, f call.RetryDecision) uint64 {
	n := c.calls[r][f]
	if r < codeClasses {
		n += c.cut[r][f]
	}
	return n
}

// brokenSuccesses is how many calls would have been successes, but for an answer that broke off.
func (c *counts) brokenSuccesses() (n uint64) {
	for r := range c.cut {
		for _, calls := range c.cut[r] {
			n += calls
		}
	}
	return n
}

// opaqueOpen returns how many passed-through connections are open. The shards are not read at one moment, so that one may seem to have
// ended before it was opened.
func (c *counts) opaqueOpen() uint64 {
	return c.totals[opaqueOpened] - min(c.totals[opaqueOpened], c.totals[opaqueEnded])
}

// events is how much has happened at all: it moves when anything was counted.
func (c *counts) events() (n uint64) {
	for _, list := range c.lists() {
		for _, k := range list {
			n += k
		}
	}
	return n
}
