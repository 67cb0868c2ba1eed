package wire

import (
	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// dryRun returns nil where there is nothing to say.
func (e *translator) dryRun(c *policy.DryRunCounts, breakersOpen int) *pb.DryRun {
	if *c == (policy.DryRunCounts{}) && breakersOpen == 0 {
		return nil
	}
	return &pb.DryRun{
		Calls: e.tally(c.Calls), Retried: e.tally(c.Retried), Hedged: e.tally(c.Hedged), TimedOut: e.tally(c.TimedOut),
		CircuitOpen: e.tally(c.CircuitOpen), Limited: e.tally(c.Limited), Queued: e.tally(c.Queued), Fallback: e.tally(c.Fallback),
		NotRetried: e.tally(c.NotRetried), LetIn: e.tally(c.LetIn), Other: e.tally(c.Other), BreakersOpened: e.tally(c.BreakersOpened),
		BreakersOpen: e.gauge(breakersOpen),
	}
}

func (d *decoder) dryRun(m *pb.DryRun) policy.DryRunCounts {
	return policy.DryRunCounts{
		Calls: d.tally(m.GetCalls()), Retried: d.tally(m.GetRetried()), Hedged: d.tally(m.GetHedged()), TimedOut: d.tally(m.GetTimedOut()),
		CircuitOpen: d.tally(m.GetCircuitOpen()), Limited: d.tally(m.GetLimited()), Queued: d.tally(m.GetQueued()), Fallback: d.tally(m.GetFallback()),
		NotRetried: d.tally(m.GetNotRetried()), LetIn: d.tally(m.GetLetIn()), Other: d.tally(m.GetOther()), BreakersOpened: d.tally(m.GetBreakersOpened()),
	}
}
