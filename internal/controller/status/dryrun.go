package status

import (
	"fmt"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

// dryRunOf returns the figures of a dry run as status shows them; nil where nothing was looked at.
func dryRunOf(f *distribute.Figures) *v1alpha1.DryRunTraffic {
	c := &f.Counts.DryRun
	if *c == (policy.DryRunCounts{}) && f.DryBreakersOpen == 0 {
		return nil
	}
	return &v1alpha1.DryRunTraffic{
		Calls: shown(c.Calls), Retried: shown(c.Retried), Hedged: shown(c.Hedged), TimedOut: shown(c.TimedOut), CircuitOpen: shown(c.CircuitOpen),
		Limited: shown(c.Limited), Queued: shown(c.Queued), Fallback: shown(c.Fallback), NotRetried: shown(c.NotRetried), LetIn: shown(c.LetIn),
		Other: shown(c.Other), BreakersOpened: shown(c.BreakersOpened), BreakersOpen: shown(uint64(f.DryBreakersOpen)),
	}
}

// dryRunMessage says what a dry run would have done.
func dryRunMessage(f *distribute.Figures) string {
	s := "Calls pass through unchanged. " + DescribeDryRun(&f.Counts.DryRun)
	if f.DryBreakersOpen > 0 {
		s += fmt.Sprintf(" Circuit breakers that would be open: %d.", f.DryBreakersOpen)
	}
	return s
}

// DescribeDryRun says in a sentence what a dry run would have done within the window.
func DescribeDryRun(c *policy.DryRunCounts) string {
	switch {
	case c.Calls == 0:
		return "No call was looked at within the last minute."
	case c.Differing() == 0:
		return fmt.Sprintf("Of %s within the last minute none would have been treated differently.", calls(c.Calls))
	}
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{
		{c.Retried, "would have been retried (whether that would have helped cannot be known)"},
		{c.Hedged, "would have been hedged"},
		{c.TimedOut, "would have timed out"},
		{c.CircuitOpen, "would have been rejected by an open circuit breaker"},
		{c.Limited, "would have been rejected by a limit"},
		{c.Queued, "would have had to wait for a limit"},
		{c.Fallback, "would have been answered by the fallback"},
		{c.NotRetried, "would not have been retried"},
		{c.LetIn, "would have been let in"},
		{c.Other, "would have been treated differently in another way"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return fmt.Sprintf("Of %s within the last minute: %s.", calls(c.Calls), strings.Join(parts, ", "))
}

func calls(n uint64) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}
