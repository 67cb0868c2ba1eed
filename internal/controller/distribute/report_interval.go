package distribute

import "time"

const (
	// reportBudget is how many entries of reports the manager wants to receive per second from all agents together: a tenth of a core.
	reportBudget = 20_000
	// loadPerNode is what a report costs besides its entries, in entries.
	loadPerNode = 5
	// maxReportInterval is the longest interval that the manager asks for: an open breaker is known to it that late.
	maxReportInterval = 20 * time.Second
)

// intervalFor returns how often agents are to report, given how many entries their reports have at most: every bucketSpan, or, where that
// would be more than the budget, a multiple of it.
func intervalFor(load int) time.Duration {
	perSecond := load / int(bucketSpan/time.Second)
	return min(bucketSpan*time.Duration(1+max(0, perSecond-1)/reportBudget), maxReportInterval)
}

// addReportLoad adds to what all agents may report on.
func (s *Store) addReportLoad(n int) {
	s.reportLoad += n
	s.interval.Store(int64(intervalFor(s.reportLoad)))
}

// reportInterval returns how often agents are to report at present.
func (s *Store) reportInterval() time.Duration { return time.Duration(s.interval.Load()) }
