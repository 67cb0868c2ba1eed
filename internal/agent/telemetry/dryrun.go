package telemetry

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// dryRunSince returns the difference between before and c of what dry runs would have done, in the form of a report.
func (c *counts) dryRunSince(before *counts) policy.DryRunCounts {
	var n policy.DryRunCounts
	for w := range call.WouldCount {
		calls := c.dryRun[w] - before.dryRun[w]
		n.Calls += calls
		if to := byWould(&n, w); to != nil {
			*to += calls
		}
	}
	return n
}

func byWould(n *policy.DryRunCounts, w call.Would) *uint64 {
	switch w {
	case call.WouldRetry:
		return &n.Retried
	case call.WouldHedge:
		return &n.Hedged
	case call.WouldTimeOutAttempt, call.WouldTimeOut, call.WouldEnd:
		return &n.TimedOut
	case call.WouldReject:
		return &n.CircuitOpen
	case call.WouldLimit:
		return &n.Limited
	case call.WouldQueue:
		return &n.Queued
	case call.WouldFallBack:
		return &n.Fallback
	case call.WouldNotRetry:
		return &n.NotRetried
	case call.WouldLetIn:
		return &n.LetIn
	case call.WouldDiffer:
		return &n.Other
	case call.WouldSame, call.WouldCount:
	}
	return nil
}
