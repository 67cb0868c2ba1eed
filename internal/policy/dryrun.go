package policy

// DryRunCounts counts the calls that a dry run has looked at, by the first thing that it would have done and that was not done.
type DryRunCounts struct {
	// Calls counts all of them.
	Calls uint64
	// Retried ones would have got another attempt. Whether that would have helped cannot be known.
	Retried uint64
	// Hedged ones would have got another attempt beside the one that took long.
	Hedged uint64
	// TimedOut ones took longer than a timeout: of an attempt, or of the call.
	TimedOut uint64
	// CircuitOpen ones would have been rejected by an open circuit breaker, Limited ones by a limit, and Queued ones would have waited for
	// one.
	CircuitOpen, Limited, Queued uint64
	// Fallback ones would have been answered by the fallback.
	Fallback uint64
	// NotRetried ones were retried by what is in force, and would not have been. LetIn ones were rejected or had to wait by what is in force,
	// and would not have.
	NotRetried, LetIn uint64
	// Other ones differ in another way.
	Other uint64
	// BreakersOpened counts how often circuit breakers would have opened.
	BreakersOpened uint64
}

// Differing counts the calls with which something else would have been done.
func (c *DryRunCounts) Differing() uint64 {
	return c.Retried + c.Hedged + c.TimedOut + c.CircuitOpen + c.Limited + c.Queued + c.Fallback + c.NotRetried + c.LetIn + c.Other
}

// Plus returns the sums of c and o.
func (c *DryRunCounts) Plus(o *DryRunCounts) DryRunCounts {
	return DryRunCounts{
		Calls: c.Calls + o.Calls, Retried: c.Retried + o.Retried, Hedged: c.Hedged + o.Hedged, TimedOut: c.TimedOut + o.TimedOut,
		CircuitOpen: c.CircuitOpen + o.CircuitOpen, Limited: c.Limited + o.Limited, Queued: c.Queued + o.Queued, Fallback: c.Fallback + o.Fallback,
		NotRetried: c.NotRetried + o.NotRetried, LetIn: c.LetIn + o.LetIn, Other: c.Other + o.Other, BreakersOpened: c.BreakersOpened + o.BreakersOpened,
	}
}
