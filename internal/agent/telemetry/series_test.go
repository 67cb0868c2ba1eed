package telemetry

import (
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

func scrapedRequests(t *testing.T, m *Meter, id, target, n string) bool {
	t.Helper()
	line := fmt.Sprintf(`fairlead_proxy_requests_total{code="2xx",kind="ok",policy=%q,target=%q} %s`, id, target, n)
	return len(scrapeText(t, m, line)) == 1
}

// TestSeriesAreCapped: what does not fit is shown together; it is reported one by one all the same; and the one that has waited longest gets the
// room of one that ends.
func TestSeriesAreCapped(t *testing.T) {
	m := New(Options{Logger: slog.New(slog.DiscardHandler), MaxSeries: 3 * seriesPerTarget})
	ids := make([]policy.ID, 4)
	for i := range ids {
		ids[i] = policy.ParseID(fmt.Sprintf("shop/p%d", i))
		r := m.Recorder(ids[i], inventory)
		for range i + 1 {
			r.CallDone(ended(call.OK, call.NotNeeded, 200))
		}
	}
	m.Watch(Sources{Stats: func(_ time.Time, f func(routes.Stats)) {
		for i, id := range ids {
			s := routes.Stats{Policy: id, Target: inventory}
			s.Running = i + 1
			f(s)
		}
	}})
	if !scrapedRequests(t, m, "shop/p0", inventory, "1") || !scrapedRequests(t, m, "shop/p1", inventory, "2") || !scrapedRequests(t, m, "overflow", "overflow", "7") {
		t.Error(scrapeText(t, m, "fairlead_proxy_requests_total"))
	}
	for _, line := range []string{`fairlead_metrics_overflow_targets 2`, `fairlead_concurrency_running{policy="overflow",target="overflow"} 7`} {
		if len(scrapeText(t, m, line)) != 1 {
			t.Errorf("no line %s", line)
		}
	}
	now := time.Now()
	if r := m.reportAt(now); len(r.Traffic) != 4 || r.Traffic[3].Counts.Requests != 4 {
		t.Errorf("reported: %+v", r.Traffic)
	}
	installed := &policy.Snapshot{Profiles: map[string]*policy.Profile{"p": {}}}
	for _, id := range ids[1:] {
		b := policy.Binding{Policy: id, To: policy.Target{Kind: policy.TargetService, Service: "warehouse/inventory"}}
		installed.Profiles["p"].Bindings = append(installed.Profiles["p"].Bindings, b)
	}
	m.Installed(now, installed)
	for range 3 { // the first one is orphaned, has had its last event reported, and lingered
		now = now.Add(lingering)
		m.reportAt(now)
	}
	m.Recorder(ids[2], inventory).CallDone(ended(call.OK, call.NotNeeded, 200))
	if !scrapedRequests(t, m, "shop/p2", inventory, "4") || !scrapedRequests(t, m, "overflow", "overflow", "7") {
		t.Error(scrapeText(t, m, "fairlead_proxy_requests_total"))
	}
	if len(scrapeText(t, m, `fairlead_metrics_overflow_targets 1`)) != 1 {
		t.Error("one of them is not shown by itself")
	}
}

// TestTheCapIsExact: as many targets are shown one by one as have room with all their series; the overflow takes the room of one.
func TestTheCapIsExact(t *testing.T) {
	for most, want := range map[int]int{1: 0, 2*seriesPerTarget - 1: 0, 2 * seriesPerTarget: 1, 4*seriesPerTarget - 1: 2, 4 * seriesPerTarget: 3} {
		m := New(Options{Logger: slog.New(slog.DiscardHandler), MaxSeries: most})
		for i := range 6 {
			m.Recorder(policy.ParseID(fmt.Sprintf("shop/p%d", i)), inventory).CallDone(ended(call.OK, call.NotNeeded, 200))
		}
		if n := len(scrapeText(t, m, `fairlead_proxy_requests_total{`)); n != want+1 {
			t.Errorf("at most %d series: %d targets and the overflow, want %d", most, n-1, want)
		}
		if len(scrapeText(t, m, fmt.Sprintf("fairlead_metrics_overflow_targets %d", 6-want))) != 1 {
			t.Errorf("at most %d series: not %d are shown together", most, 6-want)
		}
	}
}

// TestHistogramsAgree: the classic and the native form count the same, each in the bucket that it says, whatever the duration.
func TestHistogramsAgree(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 61 * time.Microsecond, 62 * time.Microsecond, 99 * time.Microsecond, time.Millisecond, time.Millisecond + 1,
		2500 * time.Microsecond, 10 * time.Millisecond, 250 * time.Millisecond, time.Second, time.Second + 1, 30 * time.Second, 63 * time.Second, time.Hour} {
		var l latency
		l[bucket(d)] = 2
		desc := prometheus.NewDesc("took", "", nil, nil)
		var out dto.Metric
		if err := newTimings(desc, &l, 2*uint64(d)).Write(&out); err != nil {
			t.Fatal(err)
		}
		h := out.GetHistogram()
		for _, b := range h.GetBucket() {
			want := uint64(0)
			if d.Seconds() <= b.GetUpperBound() {
				want = 2
			}
			if b.GetCumulativeCount() != want {
				t.Errorf("%v: %d up to %v s, want %d", d, b.GetCumulativeCount(), b.GetUpperBound(), want)
			}
		}
		if h.GetSampleCount() != 2 || len(h.GetBucket()) != len(classic) {
			t.Errorf("%v: %d counted in %d buckets", d, h.GetSampleCount(), len(h.GetBucket()))
		}
		if lower, upper := nativeBucketOf(t, h); d.Seconds() > upper || d.Seconds() <= lower && d > 0 {
			t.Errorf("%v is between %v and %v s", d, lower, upper)
		}
	}
}

// nativeBucketOf is the one native bucket in which something was counted, which is everything.
func nativeBucketOf(t *testing.T, h *dto.Histogram) (lower, upper float64) {
	t.Helper()
	bound := func(k int) float64 { return math.Pow(2, float64(k)/float64(int(1)<<h.GetSchema())) }
	if h.GetZeroCount() == h.GetSampleCount() {
		return 0, h.GetZeroThreshold()
	}
	k := int(h.GetPositiveSpan()[0].GetOffset())
	if d := h.GetPositiveDelta(); len(d) != 1 || uint64(d[0]) != h.GetSampleCount() {
		t.Errorf("deltas %v of %d", d, h.GetSampleCount())
	}
	if k > nativeLast {
		return bound(k - 1), math.Inf(1)
	}
	return bound(k - 1), bound(k)
}

// TestBucketsAreAsManyAsThereAreBounds: an edge too many would be left out.
func TestBucketsAreAsManyAsThereAreBounds(t *testing.T) {
	for i := 1; i < len(edges); i++ {
		if edges[i] <= edges[i-1] {
			t.Fatalf("bound %d of %d is %d, behind %d", i, len(edges), edges[i], edges[i-1])
		}
	}
	if last := nativeBound(nativeLast); edges[len(edges)-1] != last {
		t.Errorf("the last bound is %d, want %d", edges[len(edges)-1], last)
	}
}
