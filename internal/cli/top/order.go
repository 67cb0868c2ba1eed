package top

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/liveapi"
)

// order is how flows can be sorted; the first comes first.
type order struct {
	name string
	less func(a, b *liveapi.Flow) int
}

// sortings are the orders. The slice is never written to.
var sortings = []order{
	{"rps", func(a, b *liveapi.Flow) int { return cmp.Compare(b.Calls, a.Calls) }},
	{"success", func(a, b *liveapi.Flow) int {
		return cmp.Compare(share(a.Successes, a.Calls), share(b.Successes, b.Calls))
	}},
	{"retries", func(a, b *liveapi.Flow) int { return cmp.Compare(b.Retries, a.Retries) }},
	{"p50", func(a, b *liveapi.Flow) int { return cmp.Compare(b.P50Seconds, a.P50Seconds) }},
	{"p99", func(a, b *liveapi.Flow) int { return cmp.Compare(b.P99Seconds, a.P99Seconds) }},
	{"workload", func(a, b *liveapi.Flow) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workload, b.Workload))
	}},
	{"destination", func(a, b *liveapi.Flow) int { return cmp.Compare(a.Destination, b.Destination) }},
}

func orders() []string {
	out := make([]string, len(sortings))
	for i := range sortings {
		out[i] = sortings[i].name
	}
	return out
}

func (f *flags) sort(flows []liveapi.Flow) {
	by := sortings[slices.Index(orders(), f.sorted)].less
	slices.SortStableFunc(flows, func(a, b liveapi.Flow) int { return cmp.Or(by(&a, &b), cmp.Compare(keyOf(&a), keyOf(&b))) })
}
