package distribute

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// addFailure counts failures in a bucket, which knows so many reasons and no more.
func addFailure(sums map[string]uint64, f policy.TLSFailure) map[string]uint64 {
	if sums == nil {
		sums = map[string]uint64{}
	}
	if _, known := sums[f.Reason]; known || len(sums) < policy.MaxTLSFailures {
		sums[f.Reason] += f.Count
	}
	return sums
}

// failuresIn returns sums as a list, sorted by reason; nil without any.
func failuresIn(sums map[string]uint64) []policy.TLSFailure {
	var out []policy.TLSFailure
	for reason, count := range sums {
		if count > 0 {
			out = append(out, policy.TLSFailure{Reason: reason, Count: count})
		}
	}
	slices.SortFunc(out, func(a, b policy.TLSFailure) int { return cmp.Compare(a.Reason, b.Reason) })
	return out
}
