package wire

import (
	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func (e *translator) rateLimit(l *policy.RateLimit) *pb.RateLimit {
	if l == nil {
		return nil
	}
	return &pb.RateLimit{
		Requests: e.count(l.Requests), Per: e.duration(l.Per), Burst: e.count(l.Burst), Scope: enc(e, sharings, l.Scope), MaxWait: e.duration(l.MaxWait),
		Shared: l.Shared,
	}
}

func (d *decoder) rateLimit(m *pb.RateLimit) *policy.RateLimit {
	if m == nil {
		return nil
	}
	return &policy.RateLimit{
		Requests: d.count(m.GetRequests()), Per: d.duration(m.GetPer()), Burst: d.count(m.GetBurst()),
		Scope: dec[policy.Sharing](d, sharings, m.GetScope()), MaxWait: d.duration(m.GetMaxWait()), Shared: m.GetShared(),
	}
}

func (e *translator) concurrency(c *policy.Concurrency) *pb.Concurrency {
	if c == nil {
		return nil
	}
	m := &pb.Concurrency{
		Max: e.count(c.Max), MaxQueued: e.count(c.MaxQueued), MaxWait: e.duration(c.MaxWait), Scope: enc(e, sharings, c.Scope),
	}
	if a := c.Adaptive; a != nil {
		m.Adaptive = &pb.AdaptiveConcurrency{Min: e.count(a.Min), Max: e.count(a.Max)}
	}
	return m
}

func (d *decoder) concurrency(m *pb.Concurrency) *policy.Concurrency {
	if m == nil {
		return nil
	}
	c := &policy.Concurrency{
		Max: d.count(m.GetMax()), MaxQueued: d.count(m.GetMaxQueued()), MaxWait: d.duration(m.GetMaxWait()),
		Scope: dec[policy.Sharing](d, sharings, m.GetScope()),
	}
	if a := m.GetAdaptive(); a != nil {
		c.Adaptive = &policy.AdaptiveConcurrency{Min: d.count(a.GetMin()), Max: d.count(a.GetMax())}
	}
	return c
}
