package wire

import (
	"fmt"
	"math"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func reportToProto(r *policy.Report) (*pb.Report, error) {
	e := new(encoder)
	e.limit("traffic entries", len(r.Traffic), maxTraffic)
	problems := r.Problems[:min(len(r.Problems), policy.MaxProblems)]
	notices := r.Notices[:min(len(r.Notices), policy.MaxProblems)]
	older := r.Older[:min(len(r.Older), policy.MaxOlder)]
	m := &pb.Report{
		Traffic: each(r.Traffic, e.traffic), Captured: e.gauge(r.Captured),
		Problems: each(problems, e.problem), Uncaptured: e.gauge(r.Uncaptured), Older: each(older, e.older),
		Notices: each(notices, e.problem),
	}
	return m, e.err
}

func (e *encoder) gauge(n int) uint32 {
	if n < 0 || n > math.MaxInt32 {
		e.fail("gauge %d", n)
		return 0
	}
	return uint32(n)
}

func (e *encoder) problem(p policy.CaptureProblem) *pb.CaptureProblem {
	e.limit("policies of a capture problem", len(p.Policies), maxList)
	return &pb.CaptureProblem{
		Namespace: p.Namespace, Pod: p.Pod, Policies: each(p.Policies, e.policyID), Reason: Text(p.Reason), Message: Text(p.Message),
	}
}

func (e *encoder) older(o policy.OlderConnections) *pb.OlderConnections {
	return &pb.OlderConnections{Policy: e.policyID(o.Policy), Connections: e.gauge(o.Connections)}
}

func (e *encoder) traffic(t policy.Traffic) *pb.Traffic {
	c := &t.Counts
	m := &pb.Traffic{
		Policy: e.policyID(t.Policy), Target: t.Target, BreakersOpen: e.gauge(t.BreakersOpen), Connections: e.gauge(t.Connections),
		BreakersHalfOpen: e.gauge(t.BreakersHalfOpen), BreakerAge: int64(t.BreakerAge), OpaqueOpen: e.gauge(t.OpaqueOpen),
		Covered: int64(t.Covered),
		Counts: &pb.Counts{
			Requests: c.Requests, Successes: c.Successes, Abandoned: c.Abandoned, Truncated: c.Truncated, Retries: c.Retries, RetrySuccesses: c.RetrySuccesses,
			NotRetriedMethod: c.NotRetriedMethod, NotRetriedBody: c.NotRetriedBody, NotRetriedBudget: c.NotRetriedBudget,
			NotRetriedDeadline: c.NotRetriedDeadline, NotRetriedNotRetryable: c.NotRetriedNotRetryable,
			NotRetriedExhausted: c.NotRetriedExhausted, Timeouts: c.Timeouts, RateLimited: c.RateLimited,
			BreakerRejected: c.BreakerRejected, PoolOverflow: c.PoolOverflow, Opaque: c.Opaque,
			OpaqueSent: c.OpaqueSent, OpaqueReceived: c.OpaqueReceived,
		},
	}
	last := len(t.Latency)
	for last > 0 && t.Latency[last-1] == 0 {
		last--
	}
	m.Latency = append(m.Latency, t.Latency[:last]...)
	return m
}

func reportFromProto(m *pb.Report) (*policy.Report, error) {
	d := new(decoder)
	d.limit("traffic entries", len(m.GetTraffic()), maxTraffic)
	d.limit("capture problems", len(m.GetProblems()), policy.MaxProblems)
	d.limit("notices", len(m.GetNotices()), policy.MaxProblems)
	d.limit("policies with older connections", len(m.GetOlder()), policy.MaxOlder)
	if d.err != nil {
		return nil, fmt.Errorf("decode report: %w", d.err)
	}
	r := &policy.Report{
		Traffic: each(m.GetTraffic(), d.traffic), Captured: d.gauge(m.GetCaptured()),
		Problems: each(m.GetProblems(), d.problem), Uncaptured: d.gauge(m.GetUncaptured()), Older: each(m.GetOlder(), d.older),
		Notices: each(m.GetNotices(), d.problem),
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode report: %w", d.err)
	}
	return r, nil
}

func (d *decoder) gauge(n uint32) int {
	if n > math.MaxInt32 {
		d.fail("gauge %d", n)
	}
	return int(n)
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
	d.limit("latency buckets", len(m.GetLatency()), policy.LatencyBuckets)
	c := m.GetCounts()
	t := policy.Traffic{
		Policy: d.policyID(m.GetPolicy()), Target: m.GetTarget(), BreakersOpen: d.gauge(m.GetBreakersOpen()), Connections: d.gauge(m.GetConnections()),
		BreakersHalfOpen: d.gauge(m.GetBreakersHalfOpen()), BreakerAge: d.duration(m.GetBreakerAge()), OpaqueOpen: d.gauge(m.GetOpaqueOpen()),
		Covered: d.duration(m.GetCovered()),
		Counts: policy.Counts{
			Requests: c.GetRequests(), Successes: c.GetSuccesses(), Abandoned: c.GetAbandoned(), Truncated: c.GetTruncated(), Retries: c.GetRetries(), RetrySuccesses: c.GetRetrySuccesses(),
			NotRetriedMethod: c.GetNotRetriedMethod(), NotRetriedBody: c.GetNotRetriedBody(), NotRetriedBudget: c.GetNotRetriedBudget(),
			NotRetriedDeadline: c.GetNotRetriedDeadline(), NotRetriedNotRetryable: c.GetNotRetriedNotRetryable(),
			NotRetriedExhausted: c.GetNotRetriedExhausted(), Timeouts: c.GetTimeouts(), RateLimited: c.GetRateLimited(),
			BreakerRejected: c.GetBreakerRejected(), PoolOverflow: c.GetPoolOverflow(), Opaque: c.GetOpaque(),
			OpaqueSent: c.GetOpaqueSent(), OpaqueReceived: c.GetOpaqueReceived(),
		},
	}
	copy(t.Latency[:], m.GetLatency())
	return t
}
