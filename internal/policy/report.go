package policy

import (
	"math"
	"time"
)

// Report is what one agent tells the manager of the time since its last report. Counters are deltas, gauges are current.
type Report struct {
	Traffic []Traffic
	// Captured counts the pods whose doors stand open to the agent.
	Captured int
	// Problems names pods that could not be captured; at most MaxProblems, Uncaptured counts all.
	Problems   []CaptureProblem
	Uncaptured int
	// Notices name captured pods about which there is something to know; at most MaxProblems.
	Notices []CaptureProblem
	// Older says under which policies pods hold connections that no policy governs, because they are older than what would have
	// captured them; at most MaxOlder, those with the most.
	Older []OlderConnections
	// Flows are who called what, those with most calls first, at most MaxFlows; what is beyond is the last of them. Nil: nobody wants to know, or
	// there were no calls.
	Flows []Flow
}

// MaxOlder bounds Report.Older.
const MaxOlder = 1000

// OlderConnections counts the open connections of pods to what one policy governs that were made before it governed them.
type OlderConnections struct {
	Policy      ID
	Connections int
}

// MaxProblems bounds Report.Problems.
const MaxProblems = 10

// NoticeQUICSeen is the reason of a notice that a pod calls over QUIC what policies govern over TCP. One pod stands for all of a node with
// the same policies.
const NoticeQUICSeen = "QUICSeen"

// The reasons of notices that pods' TLS which policies intercept is passed through, or ends.
const (
	// NoticeTLSNotTrusted: the pod ends its handshakes, since it does not trust the egress CA.
	NoticeTLSNotTrusted = "TLSNotTrusted"
	// NoticeTLSNoIssuer: the node has no issuer yet, or none that is valid.
	NoticeTLSNoIssuer = "TLSNoIssuer"
)

// NoticeNoTraceExporter is the reason of a notice that a pod's calls are to be traced, and the node's agent has nowhere to send spans.
const NoticeNoTraceExporter = "NoTraceExporter"

// CaptureProblem is one pod that should be captured and is not.
type CaptureProblem struct {
	Namespace, Pod  string
	Policies        []ID
	Reason, Message string
}

// Traffic is what happened under one policy at one of its destinations.
type Traffic struct {
	Policy ID
	// Target is the destination as Target.String shows it.
	Target string
	Counts Counts
	// BreakersOpen counts breakers that are open or half-open now, BreakersHalfOpen those of them that are half-open.
	BreakersOpen, BreakersHalfOpen int
	// BreakerAge is for how long the worst state among them has lasted: since the first of the open ones opened, or, if none is
	// open, since the first of the half-open ones began to probe. Zero: not known.
	BreakerAge time.Duration
	// Ejected counts the endpoints that breakers of their own keep out now.
	Ejected int
	// Connections are the open upstream connections now.
	Connections int
	// OpaqueOpen are the connections that are passed through without being understood now.
	OpaqueOpen int
	// Latency counts calls by the time to their response head, in LatencyBuckets buckets. Abandoned calls are not among them.
	Latency Latency
	// DryBreakersOpen counts breakers of a dry run that are open or half-open now: nothing is rejected by them.
	DryBreakersOpen int
	// TLSFailures count the attempts that failed in the TLS that the agent speaks, by why; each reason once, at most MaxTLSFailures.
	TLSFailures []TLSFailure
	// Covered is the time that the counts are about: since the report before, or since the first call under the policy if that came
	// later. Zero, from an agent that does not say, means the interval of reports.
	Covered time.Duration
}

// MaxTLSFailures bounds Traffic.TLSFailures.
const MaxTLSFailures = 32

// TLSFailure counts attempts that failed for one reason.
type TLSFailure struct {
	// Reason is a label in lower case with underscores, such as certificate_expired: the metric has the same.
	Reason string
	Count  uint64
}

// Counts are the events of a period.
type Counts struct {
	// Requests counts calls that ended, Successes those of them that ended well: answered, by a retry if need be, and to the end.
	Requests, Successes uint64
	// Abandoned counts calls whose client left before it had an answer, Truncated those whose answer, or request, broke off while the
	// client was there. Neither is a success.
	Abandoned, Truncated                                            uint64
	Retries, RetrySuccesses                                         uint64
	NotRetriedMethod, NotRetriedBody, NotRetriedBudget              uint64
	NotRetriedDeadline, NotRetriedNotRetryable, NotRetriedExhausted uint64
	Timeouts, RateLimited, BreakerRejected, PoolOverflow            uint64
	// Opaque counts connections passed through without being understood (TLS, raw TCP), OpaqueSent and OpaqueReceived the bytes that
	// they carried to and from their servers.
	Opaque, OpaqueSent, OpaqueReceived uint64
	// DryRun is what a dry run would have done.
	DryRun DryRunCounts
	// Hedges counts the attempts started beside others, HedgesWon those of them whose response answered the call, Fallbacks the calls that were
	// answered by their fallback.
	Hedges, HedgesWon, Fallbacks uint64
}

// Plus returns the sums of c and o.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		Requests: c.Requests + o.Requests, Successes: c.Successes + o.Successes, Abandoned: c.Abandoned + o.Abandoned, Truncated: c.Truncated + o.Truncated,
		Retries: c.Retries + o.Retries, RetrySuccesses: c.RetrySuccesses + o.RetrySuccesses,
		NotRetriedMethod: c.NotRetriedMethod + o.NotRetriedMethod, NotRetriedBody: c.NotRetriedBody + o.NotRetriedBody,
		NotRetriedBudget: c.NotRetriedBudget + o.NotRetriedBudget, NotRetriedDeadline: c.NotRetriedDeadline + o.NotRetriedDeadline,
		NotRetriedNotRetryable: c.NotRetriedNotRetryable + o.NotRetriedNotRetryable,
		NotRetriedExhausted:    c.NotRetriedExhausted + o.NotRetriedExhausted,
		Timeouts:               c.Timeouts + o.Timeouts, RateLimited: c.RateLimited + o.RateLimited,
		BreakerRejected: c.BreakerRejected + o.BreakerRejected, PoolOverflow: c.PoolOverflow + o.PoolOverflow,
		Opaque: c.Opaque + o.Opaque, OpaqueSent: c.OpaqueSent + o.OpaqueSent, OpaqueReceived: c.OpaqueReceived + o.OpaqueReceived,
		DryRun: c.DryRun.Plus(&o.DryRun),
		Hedges: c.Hedges + o.Hedges, HedgesWon: c.HedgesWon + o.HedgesWon, Fallbacks: c.Fallbacks + o.Fallbacks,
	}
}

// LatencyBuckets is the number of buckets in Latency.
const LatencyBuckets = 64

// Latency is a histogram: bucket i counts durations below 50 µs · 1.25^i (and not below the bucket before); the last counts
// the rest, from about 51 s on.
type Latency [LatencyBuckets]uint64

// LatencyBucket returns the bucket d falls into.
func LatencyBucket(d time.Duration) int {
	if d < 50*time.Microsecond {
		return 0
	}
	i := int(math.Log(float64(d)/float64(50*time.Microsecond))/math.Log(1.25)) + 1
	return min(i, LatencyBuckets-1)
}

// LatencyBound returns the exclusive upper bound of bucket i.
func LatencyBound(i int) time.Duration {
	return time.Duration(float64(50*time.Microsecond) * math.Pow(1.25, float64(i)))
}

// Quantile returns about how long the q-quantile (0 < q <= 1) took, or 0 when nothing was counted: the geometric middle of its bucket,
// which is at most 12 % off. The last bucket has no upper bound: its lower one is returned then, and false.
func (l *Latency) Quantile(q float64) (d time.Duration, bounded bool) {
	var total uint64
	for _, n := range l {
		total += n
	}
	if total == 0 {
		return 0, true
	}
	rank := uint64(math.Ceil(q * float64(total)))
	var seen uint64
	for i, n := range l[:LatencyBuckets-1] {
		if seen += n; seen >= rank {
			return time.Duration(float64(LatencyBound(i)) / math.Sqrt(1.25)), true
		}
	}
	return LatencyBound(LatencyBuckets - 2), false
}

// Add adds o to l.
func (l *Latency) Add(o *Latency) {
	for i, n := range o {
		l[i] += n
	}
}
