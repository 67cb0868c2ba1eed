package figures

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/policy"
)

// reports returns one report after another, and then empty ones.
type reports []policy.Report

func (r *reports) Report() *policy.Report {
	if len(*r) == 0 {
		return &policy.Report{}
	}
	next := (*r)[0]
	*r = (*r)[1:]
	return &next
}

func counter(name string, value float64, labels prometheus.Labels) prometheus.Collector {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, ConstLabels: labels})
	c.Add(value)
	return c
}

// all shows several collectors.
type all []prometheus.Collector

func (a all) Describe(to chan<- *prometheus.Desc) {
	for _, c := range a {
		c.Describe(to)
	}
}

func (a all) Collect(to chan<- prometheus.Metric) {
	for _, c := range a {
		c.Collect(to)
	}
}

func TestTheTable(t *testing.T) {
	id := policy.ParseID("shop/inventory")
	row := policy.Traffic{Policy: id, Target: "host a.example", BreakersOpen: 1, Counts: policy.Counts{
		Requests: 100, Successes: 99, RetrySuccesses: 29, Retries: 40, BreakerRejected: 1, RateLimited: 2, OpaqueSent: 5, OpaqueReceived: 6, Opaque: 1,
	}}
	row.Latency[policy.LatencyBucket(2*time.Millisecond)] = 98
	row.Latency[policy.LatencyBucket(300*time.Millisecond)] = 2
	dry := policy.Traffic{Policy: policy.ParseID("shop/z"), Target: "any", Counts: policy.Counts{DryRun: policy.DryRunCounts{Calls: 200, Retried: 3, Limited: 1, BreakersOpened: 1}}}
	idle := policy.Traffic{Policy: policy.ParseID("shop/idle"), Target: "any", Connections: 1}
	from := &reports{{Traffic: []policy.Traffic{row, dry, idle}}, {Traffic: []policy.Traffic{row}}}
	f, err := New(from, all{
		counter("fairlead_breaker_opened_total", 2, prometheus.Labels{"policy": "shop/inventory", "target": "host a.example"}),
		counter("fairlead_proxy_passed_connections_total", 3, prometheus.Labels{"reason": "unmatched"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Totals() // what was reported once is not forgotten
	totals := f.Totals()
	var got strings.Builder
	if err := totals.Write(&got, 1234*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	const want = `fairlead: 200 calls in 1.2s
  POLICY           DESTINATION      CALLS   SUCCESS   WITHOUT RETRIES   RETRIES   P50   P99     BREAKER          REJECTED
  shop/inventory   host a.example   200     99%       70%               80        2ms   270ms   open, opened 2   2 by breaker, 4 by limit
  shop/z, a dry run to any: of 200 calls it would have changed 4: 3 retried, 1 rejected by a limit, 1 time a circuit breaker opened
  shop/inventory passed 2 connections to host a.example through (TLS, or not HTTP): 10 bytes sent, 12 received
  no policy governed 3 connections
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPercent(t *testing.T) {
	for want, tc := range map[string][2]uint64{"100%": {7, 7}, "99.9%": {9999, 10000}, "0%": {0, 3}, "66.6%": {2, 3}, "-": {0, 0}} {
		if got := percent(tc[0], tc[1]); got != want {
			t.Errorf("%d of %d: %s, want %s", tc[0], tc[1], got, want)
		}
	}
}
