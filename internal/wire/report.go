package wire

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Report is one report of an agent with its position in the agent's sequence.
type Report struct {
	// Instance tells apart the processes that were an agent one after the other; zero from agents that do not say.
	Instance, Sequence uint64
	// Age is how long before sending the report was made.
	Age time.Duration
	// Covered is the time that the report is about, since the one before; zero from agents that do not say.
	Covered time.Duration
	Body    policy.Report
}

// ReportAck says that every report up to Sequence was counted.
type ReportAck struct {
	Sequence uint64
	// Interval is how often the agent is to report from now on; zero: as before.
	Interval time.Duration
	// TakesFlows: reports are to have Flows.
	TakesFlows bool
}

// Bounds of what the manager may ask for.
const (
	MinReportInterval = 5 * time.Second
	MaxReportInterval = time.Minute
)

func reportRequestToProto(r Report) (*pb.ReportRequest, error) {
	body, err := reportToProto(&r.Body)
	if err != nil {
		return nil, err
	}
	m := &pb.ReportRequest{Instance: r.Instance, Sequence: r.Sequence, Age: durationpb.New(r.Age), Report: body}
	if r.Covered > 0 {
		m.Covered = durationpb.New(r.Covered)
	}
	return m, nil
}

func reportRequestFromProto(m *pb.ReportRequest) (Report, error) {
	body, err := reportFromProto(m.GetReport())
	if err != nil {
		return Report{}, err
	}
	return Report{
		Instance: m.GetInstance(), Sequence: m.GetSequence(), Age: clamp(m.GetAge().AsDuration(), maxDuration),
		Covered: clamp(m.GetCovered().AsDuration(), maxDuration), Body: *body,
	}, nil
}

func reportAckToProto(a ReportAck) *pb.ReportAck {
	m := &pb.ReportAck{Sequence: a.Sequence, TakesFlows: a.TakesFlows}
	if a.Interval > 0 {
		m.Interval = durationpb.New(a.Interval)
	}
	return m
}

func reportAckFromProto(m *pb.ReportAck) ReportAck {
	a := ReportAck{Sequence: m.GetSequence(), TakesFlows: m.GetTakesFlows()}
	if m.GetInterval() != nil {
		a.Interval = max(MinReportInterval, clamp(m.GetInterval().AsDuration(), MaxReportInterval))
	}
	return a
}

func clamp(d, most time.Duration) time.Duration { return max(0, min(d, most)) }

func reportToProto(r *policy.Report) (*pb.Report, error) {
	e := new(translator)
	e.limit("traffic entries", len(r.Traffic), maxTraffic)
	problems := r.Problems[:min(len(r.Problems), policy.MaxProblems)]
	notices := r.Notices[:min(len(r.Notices), policy.MaxProblems)]
	older := r.Older[:min(len(r.Older), policy.MaxOlder)]
	m := &pb.Report{
		Traffic: each(r.Traffic, e.traffic), Captured: e.gauge(r.Captured),
		Problems: each(problems, e.problem), Uncaptured: e.gauge(r.Uncaptured), Older: each(older, e.older),
		Notices: each(notices, e.problem), Flows: each(r.Flows[:min(len(r.Flows), policy.MaxFlows)], e.flow),
	}
	return m, e.err
}

func (e *translator) problem(p policy.CaptureProblem) *pb.CaptureProblem {
	e.limit("policies of a capture problem", len(p.Policies), maxList)
	return &pb.CaptureProblem{
		Namespace: p.Namespace, Pod: p.Pod, Policies: each(p.Policies, e.policyID), Reason: Text(p.Reason), Message: Text(p.Message),
	}
}

func (e *translator) older(o policy.OlderConnections) *pb.OlderConnections {
	return &pb.OlderConnections{Policy: e.policyID(o.Policy), Connections: e.gauge(o.Connections)}
}

func (e *translator) traffic(t policy.Traffic) *pb.Traffic {
	m := &pb.Traffic{
		Policy: e.policyID(t.Policy), Target: t.Target, BreakersOpen: e.gauge(t.BreakersOpen), Connections: e.gauge(t.Connections),
		BreakersHalfOpen: e.gauge(t.BreakersHalfOpen), BreakerAge: e.duration(t.BreakerAge), OpaqueOpen: e.gauge(t.OpaqueOpen), Ejected: e.gauge(t.Ejected),
		Covered: e.duration(t.Covered), Counts: e.counts(&t.Counts),
	}
	e.limit("reasons of TLS failures", len(t.TLSFailures), policy.MaxTLSFailures)
	m.DryRun = e.dryRun(&t.Counts.DryRun, t.DryBreakersOpen)
	m.TlsFailures = each(t.TLSFailures, func(f policy.TLSFailure) *pb.TLSFailure {
		return &pb.TLSFailure{Reason: f.Reason, Count: e.tally(f.Count)}
	})
	m.Latency = e.latency(&t.Latency)
	return m
}

// latency leaves out the zeros at the end.
func (e *translator) latency(l *policy.Latency) []uint64 {
	last := len(l)
	for last > 0 && l[last-1] == 0 {
		last--
	}
	return each(l[:last], e.tally)
}

func (e *translator) counts(c *policy.Counts) *pb.Counts {
	return &pb.Counts{
		Requests: e.tally(c.Requests), Successes: e.tally(c.Successes), Abandoned: e.tally(c.Abandoned), Truncated: e.tally(c.Truncated),
		Retries: e.tally(c.Retries), RetrySuccesses: e.tally(c.RetrySuccesses),
		NotRetriedMethod: e.tally(c.NotRetriedMethod), NotRetriedBody: e.tally(c.NotRetriedBody), NotRetriedBudget: e.tally(c.NotRetriedBudget),
		NotRetriedDeadline: e.tally(c.NotRetriedDeadline), NotRetriedNotRetryable: e.tally(c.NotRetriedNotRetryable),
		NotRetriedExhausted: e.tally(c.NotRetriedExhausted), Timeouts: e.tally(c.Timeouts), RateLimited: e.tally(c.RateLimited),
		BreakerRejected: e.tally(c.BreakerRejected), PoolOverflow: e.tally(c.PoolOverflow), Opaque: e.tally(c.Opaque),
		OpaqueSent: e.tally(c.OpaqueSent), OpaqueReceived: e.tally(c.OpaqueReceived),
		Hedges: e.tally(c.Hedges), HedgesWon: e.tally(c.HedgesWon), Fallbacks: e.tally(c.Fallbacks),
	}
}

func reportFromProto(m *pb.Report) (*policy.Report, error) {
	d := new(decoder)
	d.limit("traffic entries", len(m.GetTraffic()), maxTraffic)
	d.limit("capture problems", len(m.GetProblems()), policy.MaxProblems)
	d.limit("notices", len(m.GetNotices()), policy.MaxProblems)
	d.limit("policies with older connections", len(m.GetOlder()), policy.MaxOlder)
	d.limit("flows", len(m.GetFlows()), policy.MaxFlows)
	if d.err != nil {
		return nil, fmt.Errorf("decode report: %w", d.err)
	}
	r := &policy.Report{
		Traffic: each(m.GetTraffic(), d.traffic), Captured: d.gauge(m.GetCaptured()),
		Problems: each(m.GetProblems(), d.problem), Uncaptured: d.gauge(m.GetUncaptured()), Older: each(m.GetOlder(), d.older),
		Notices: each(m.GetNotices(), d.problem), Flows: each(m.GetFlows(), d.flow),
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode report: %w", d.err)
	}
	return r, nil
}

func (d *decoder) problem(m *pb.CaptureProblem) policy.CaptureProblem {
	d.limit("policies of a capture problem", len(m.GetPolicies()), maxList)
	d.limit("bytes of a pod's name", len(m.GetNamespace())+len(m.GetPod()), MaxName)
	return policy.CaptureProblem{
		Namespace: m.GetNamespace(), Pod: m.GetPod(), Policies: each(m.GetPolicies(), d.policyID),
		Reason: Text(m.GetReason()), Message: Text(m.GetMessage()),
	}
}

func (d *decoder) older(m *pb.OlderConnections) policy.OlderConnections {
	return policy.OlderConnections{Policy: d.policyID(m.GetPolicy()), Connections: d.gauge(m.GetConnections())}
}

func (d *decoder) traffic(m *pb.Traffic) policy.Traffic {
	t := policy.Traffic{
		Policy: d.policyID(m.GetPolicy()), Target: m.GetTarget(), BreakersOpen: d.gauge(m.GetBreakersOpen()), Connections: d.gauge(m.GetConnections()),
		BreakersHalfOpen: d.gauge(m.GetBreakersHalfOpen()), BreakerAge: d.duration(m.GetBreakerAge()), OpaqueOpen: d.gauge(m.GetOpaqueOpen()), Ejected: d.gauge(m.GetEjected()),
		Covered: d.duration(m.GetCovered()), Counts: d.counts(m.GetCounts()),
	}
	t.Latency = d.latency(m.GetLatency())
	d.limit("reasons of TLS failures", len(m.GetTlsFailures()), policy.MaxTLSFailures)
	t.Counts.DryRun, t.DryBreakersOpen = d.dryRun(m.GetDryRun()), d.gauge(m.GetDryRun().GetBreakersOpen())
	t.TLSFailures = each(m.GetTlsFailures(), d.tlsFailure)
	return t
}

func (d *decoder) latency(buckets []uint64) (l policy.Latency) {
	d.limit("latency buckets", len(buckets), policy.LatencyBuckets)
	copy(l[:], each(buckets, d.tally))
	return l
}

// maxReason is the longest label of a reason.
const maxReason = 64

func (d *decoder) tlsFailure(m *pb.TLSFailure) policy.TLSFailure {
	reason := m.GetReason()
	if len(reason) == 0 || len(reason) > maxReason || strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		d.fail("a reason of %d bytes, or of other characters than lower-case letters, digits and underscores", len(reason))
		return policy.TLSFailure{}
	}
	return policy.TLSFailure{Reason: reason, Count: d.tally(m.GetCount())}
}

func (d *decoder) counts(c *pb.Counts) policy.Counts {
	return policy.Counts{
		Requests: d.tally(c.GetRequests()), Successes: d.tally(c.GetSuccesses()), Abandoned: d.tally(c.GetAbandoned()), Truncated: d.tally(c.GetTruncated()),
		Retries: d.tally(c.GetRetries()), RetrySuccesses: d.tally(c.GetRetrySuccesses()),
		NotRetriedMethod: d.tally(c.GetNotRetriedMethod()), NotRetriedBody: d.tally(c.GetNotRetriedBody()), NotRetriedBudget: d.tally(c.GetNotRetriedBudget()),
		NotRetriedDeadline: d.tally(c.GetNotRetriedDeadline()), NotRetriedNotRetryable: d.tally(c.GetNotRetriedNotRetryable()),
		NotRetriedExhausted: d.tally(c.GetNotRetriedExhausted()), Timeouts: d.tally(c.GetTimeouts()), RateLimited: d.tally(c.GetRateLimited()),
		BreakerRejected: d.tally(c.GetBreakerRejected()), PoolOverflow: d.tally(c.GetPoolOverflow()), Opaque: d.tally(c.GetOpaque()),
		OpaqueSent: d.tally(c.GetOpaqueSent()), OpaqueReceived: d.tally(c.GetOpaqueReceived()),
		Hedges: d.tally(c.GetHedges()), HedgesWon: d.tally(c.GetHedgesWon()), Fallbacks: d.tally(c.GetFallbacks()),
	}
}
