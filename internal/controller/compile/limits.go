package compile

import (
	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// rateLimitOf returns nil when the limit is absent or switched off.
func rateLimitOf(in *v1alpha1.RateLimit) *policy.RateLimit {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled || in.Requests == nil {
		return nil
	}
	l := policy.DefaultRateLimit()
	setInt(&l.Requests, in.Requests)
	setDuration(&l.Per, in.Per)
	l.Burst = l.Requests
	setInt(&l.Burst, in.Burst)
	if in.OnLimit == v1alpha1.LimitQueue { // of merged policies another one may have set maxWait
		setDuration(&l.MaxWait, in.MaxWait)
	}
	switch in.Scope {
	case v1alpha1.SharingNode:
		l.Scope = policy.ShareNode
	case v1alpha1.SharingCluster:
		l.Scope = policy.ShareCluster
	case v1alpha1.SharingPod:
	}
	return &l
}

// concurrencyOf returns nil when the limit is absent, switched off, or of a kind that agents do not know.
func concurrencyOf(in *v1alpha1.Concurrency) *policy.Concurrency {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled || in.Max == nil && in.Adaptive == nil {
		return nil
	}
	c := policy.DefaultConcurrency()
	setInt(&c.Max, in.Max)
	if a := in.Adaptive; a != nil {
		bounds := policy.DefaultAdaptiveConcurrency()
		setInt(&bounds.Min, a.Min)
		bounds.Max = max(bounds.Max, bounds.Min)
		setInt(&bounds.Max, a.Max)
		bounds.Min = min(bounds.Min, bounds.Max) // two merged policies can write a minimum above the maximum, and one its maximum below the default
		c.Adaptive, c.Max = &bounds, 0
	}
	setInt(&c.MaxQueued, in.MaxQueued)
	setDuration(&c.MaxWait, in.MaxWait)
	if c.MaxQueued == 0 || c.MaxWait == 0 { // the one is nothing without the other
		c.MaxQueued, c.MaxWait = 0, 0
	}
	if in.Scope == v1alpha1.ConcurrencyScopeNode {
		c.Scope = policy.ShareNode
	}
	return &c
}
