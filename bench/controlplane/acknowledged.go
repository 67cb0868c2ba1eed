package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const ackMetric = "fairlead_controller_acknowledgement_seconds"

// acknowledged is a histogram of the time from publication to acknowledgement, as the manager measures it: in it is what the manager and
// the agents take, and nothing of the API server.
type acknowledged map[float64]float64 // cumulative counts by upper bound in seconds

func (m *manager) acknowledged(ctx context.Context) (acknowledged, error) {
	body, err := get(ctx, "http://"+m.metrics+"/metrics")
	if err != nil {
		return nil, err
	}
	out := acknowledged{}
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), ackMetric+`_bucket{le="`)
		bound, count, both := strings.Cut(rest, `"} `)
		if !ok || !both {
			continue
		}
		le, err1 := strconv.ParseFloat(bound, 64)
		n, err2 := strconv.ParseFloat(count, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("read %s: %q", ackMetric, line)
		}
		out[le] = n
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the manager has no metric %s", ackMetric)
	}
	return out, nil
}

// quantile returns the bound of the bucket in which the q-quantile of what came after before lies, in seconds.
func (a acknowledged) quantile(q float64, before acknowledged) float64 {
	bounds := make([]float64, 0, len(a))
	total := 0.0
	for le, n := range a {
		bounds = append(bounds, le)
		total = max(total, n-before[le])
	}
	slices.Sort(bounds)
	for _, le := range bounds {
		if a[le]-before[le] >= q*total {
			return le
		}
	}
	return 0
}
