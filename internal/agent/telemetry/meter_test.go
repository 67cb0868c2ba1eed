package telemetry

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

var (
	payments = policy.ID{Namespace: "shop", Name: "payments"}
	t0       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const inventory = "service warehouse/inventory"

func testMeter() *Meter {
	return New(Options{Logger: slog.New(slog.DiscardHandler), Taps: taps.New(nil)})
}

func ended(k call.Kind, f call.RetryDecision, status int) *routes.Exchange {
	return &routes.Exchange{Outcome: call.Outcome{Kind: k, Decision: f, Status: status, Took: 3 * time.Millisecond}}
}

// scrapeText returns the lines of /metrics that begin with prefix.
func scrapeText(t *testing.T, m *Meter, prefix string) []string {
	t.Helper()
	h, err := Handler(HandlerOptions{Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestMetricsShowWhatWasCounted(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for range 3 {
		r.AttemptDone(&routes.Attempt{Kind: call.OK, Status: 200, Took: time.Millisecond})
		r.CallDone(ended(call.OK, call.NotNeeded, 200))
	}
	r.AttemptDone(&routes.Attempt{Kind: call.OK, Status: 503})
	r.AttemptDone(&routes.Attempt{Kind: call.ConnectFailed, Start: call.Retry})
	r.CallDone(ended(call.OK, call.Exhausted, 503))
	r.CallDone(ended(call.BreakerOpen, call.Refused, 503))
	r.CallDone(ended(call.ClientGone, call.Abandoned, 0))
	r.CallDone(&routes.Exchange{Outcome: call.Outcome{Status: 200, Truncated: true}})
	r.OpaqueOpened()
	const id = `policy="shop/payments",target="service warehouse/inventory"`
	want := []string{
		`fairlead_proxy_requests_total{code="",kind="circuit_open",` + id + `} 1`,
		`fairlead_proxy_requests_total{code="",kind="client_gone",` + id + `} 1`,
		`fairlead_proxy_requests_total{code="2xx",kind="ok",` + id + `} 4`,
		`fairlead_proxy_requests_total{code="5xx",kind="ok",` + id + `} 1`,
	}
	if diff := cmp.Diff(want, scrapeText(t, m, "fairlead_proxy_requests_total{")); diff != "" {
		t.Error(diff)
	}
	want = []string{
		`fairlead_proxy_tries_total{attempt="first",code="2xx",kind="ok",` + id + `} 3`,
		`fairlead_proxy_tries_total{attempt="first",code="5xx",kind="ok",` + id + `} 1`,
		`fairlead_proxy_tries_total{attempt="retry",code="",kind="connect_failure",` + id + `} 1`,
	}
	if diff := cmp.Diff(want, scrapeText(t, m, "fairlead_proxy_tries_total{")); diff != "" {
		t.Error(diff)
	}
	for _, line := range []string{
		`fairlead_proxy_retry_decisions_total{policy="shop/payments",retry_decision="exhausted",target="service warehouse/inventory"} 1`,
		`fairlead_proxy_truncated_responses_total{` + id + `} 1`,
		`fairlead_proxy_opaque_connections_total{` + id + `} 1`,
		`fairlead_proxy_request_duration_seconds_count{` + id + `} 6`, // not the one whose client left
		`fairlead_proxy_request_duration_seconds_sum{` + id + `} 0.015`,
		`fairlead_proxy_try_duration_seconds_count{` + id + `} 5`,
	} {
		if got := scrapeText(t, m, line); len(got) != 1 {
			t.Errorf("no line %s in %v", line, scrapeText(t, m, line[:strings.IndexByte(line, '{')]))
		}
	}
}

func TestGaugesComeFromTheRoutesStats(t *testing.T) {
	m := testMeter()
	m.Recorder(payments, inventory)
	opened := uint64(2)
	m.Watch(Sources{Stats: func(_ time.Time, f func(routes.Stats)) {
		for _, destination := range []string{"warehouse/inventory:80", "warehouse/inventory:81"} {
			f(routes.Stats{
				Policy: payments, Target: inventory, Destination: destination, BreakersOpen: 1,
				Breakers: []resilience.Status{{State: resilience.Open, Opened: opened}}, Pool: upstream.Stats{Active: 3, Idle: 2, Waiting: 1}, LimitWaiting: 4, Running: 5, Places: 6,
				Ejected: 2, Ejections: [resilience.CauseCount]uint64{resilience.ErrorRate: opened}, EjectionsPrevented: 3,
				Share: 2.5, Shared: true,
			})
		}
	}})
	const id = `policy="shop/payments",target="service warehouse/inventory"`
	for _, line := range []string{
		`fairlead_upstream_connections{policy="shop/payments",state="active",target="service warehouse/inventory"} 6`,
		`fairlead_upstream_connections{policy="shop/payments",state="idle",target="service warehouse/inventory"} 4`,
		`fairlead_upstream_waiting{` + id + `} 2`, `fairlead_limit_waiting{` + id + `} 8`,
		`fairlead_limit_share{` + id + `} 5`,
		`fairlead_concurrency_running{` + id + `} 10`, `fairlead_concurrency_limit{` + id + `} 12`, `fairlead_breaker_open{` + id + `} 2`, `fairlead_breaker_opened_total{` + id + `} 4`,
		`fairlead_endpoints_ejected{` + id + `} 4`, `fairlead_endpoint_ejections_prevented_total{` + id + `} 6`,
		`fairlead_endpoint_ejections_total{policy="shop/payments",reason="error_rate",target="service warehouse/inventory"} 4`,
	} {
		if got := scrapeText(t, m, line); len(got) != 1 {
			t.Errorf("no line %s", line)
		}
	}
	opened = 1 // breakers were replaced: what they had counted is not counted again
	if r := m.reportAt(t0).Traffic; len(r) != 1 || r[0].BreakersOpen != 2 || r[0].Connections != 10 || r[0].Ejected != 4 {
		t.Errorf("the report says %+v", r)
	}
	opened = 4
	if got := scrapeText(t, m, `fairlead_breaker_opened_total{`+id+`} 10`); len(got) != 1 {
		t.Errorf("openings: %v", scrapeText(t, m, "fairlead_breaker_opened_total"))
	}
	if got := scrapeText(t, m, `fairlead_endpoint_ejections_prevented_total{`+id+`} 6`); len(got) != 1 {
		t.Errorf("prevented: %v", scrapeText(t, m, "fairlead_endpoint_ejections_prevented_total"))
	}
}

// docs/reference/metrics.md lists what there is: the same names, types and labels, and no others.
func TestDocumentationListsEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Agent\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(fairlead_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\| ([^|]*) \\|$").FindAllStringSubmatch(section, -1) {
		documented = append(documented, strings.Join(row[1:], " | "))
	}
	var want []string
	for _, f := range catalogue {
		kind := map[bool]string{true: "histogram"}[f.kind == histogram]
		if kind == "" {
			kind = map[bool]string{true: "counter", false: "gauge"}[strings.HasSuffix(f.name, "_total")]
		}
		labels := "–"
		if all := f.labelsOf(false); len(all) > 0 {
			labels = "`" + strings.Join(all, "`, `") + "`"
		}
		if f.scope == ofCaller {
			labels = strings.Replace(labels, "`target`", "`target`, caller", 1)
		}
		want = append(want, strings.Join([]string{f.name, kind, labels, f.help}, " | "))
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("docs/reference/metrics.md differs from the catalogue (-catalogue +docs):\n%s", diff)
	}
}

// Every family of the catalogue is collected, with the type it claims, and the collector keeps its promises to the registry.
func TestEveryFamilyIsCollected(t *testing.T) {
	m := busyMeter(t)
	exercise(m.Recorder(payments, inventory))
	for _, f := range catalogue {
		if len(scrapeText(t, m, f.name)) == 0 {
			t.Errorf("%s is never collected", f.name)
		}
	}
}

// exercise lets everything happen that can happen.
func exercise(r routes.Recorder) {
	statuses := []int{0, 100, 200, 301, 404, 503, 999}
	for h := range routes.HandshakeCount {
		r.Handshake(h)
	}
	for _, why := range tlsReasons {
		r.AttemptDone(&routes.Attempt{Kind: call.TLSFailed, Detail: why.detail})
	}
	for k := range call.KindCount {
		for f := range call.RetryDecisionCount {
			for _, status := range statuses {
				r.CallDone(&routes.Exchange{Outcome: call.Outcome{Kind: k, Decision: f, Status: status}})
				r.AttemptDone(&routes.Attempt{Kind: k, Status: status, Start: call.Start(f % 3)})
			}
		}
	}
	r.CallDone(&routes.Exchange{Outcome: call.Outcome{Hedges: 2, HedgeWon: true}})
	r.CallDone(&routes.Exchange{Outcome: call.Outcome{Faults: call.FaultCounts{Delays: 1, Responses: 1, Resets: 1}}})
	for f := range call.FallbackAnswerCount {
		r.CallDone(&routes.Exchange{Outcome: call.Outcome{Fallback: f, Upstream: 503}})
	}
	for w := range call.WouldCount {
		r.DryRunDone(w)
	}
	r.TunnelEnded(time.Hour)
	for status := -1; status <= 17; status++ { // 17 does not exist
		r.CallDone(&routes.Exchange{GRPC: true, Outcome: call.Outcome{GRPCStatus: status}})
	}
}

// docs/reference/metrics.md lists the bounds of classic histograms: those there are, and no others.
func TestTheBoundsOfClassicHistogramsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`have the classic buckets ([0-9., and]+) ms, ([0-9., and]+) s\.`).FindStringSubmatch(string(page))
	if list == nil {
		t.Fatal("docs/reference/metrics.md does not say which bounds there are")
	}
	var documented []time.Duration
	for i, unit := range []string{"ms", "s"} {
		for _, n := range regexp.MustCompile(`[0-9.]+`).FindAllString(list[1+i], -1) {
			d, err := time.ParseDuration(n + unit)
			if err != nil {
				t.Fatal(err)
			}
			documented = append(documented, d)
		}
	}
	if diff := cmp.Diff(classic[:], documented); diff != "" {
		t.Errorf("docs/reference/metrics.md lists other bounds than there are (-are +docs):\n%s", diff)
	}
}

// docs/reference/metrics.md says what each kind of end means, and docs/operations/README.md each reason that a caller can be given.
func TestEachKindOfEndIsDocumented(t *testing.T) {
	rows := func(name, begin string) string {
		page, err := os.ReadFile("../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, table, found := strings.Cut(string(page), begin)
		if !found {
			t.Fatalf("docs/%s has no table that begins with %q", name, begin)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		return table
	}
	kinds, reasons := rows("reference/metrics.md", "| kind | meaning |"), rows("operations/README.md", "| status | reason | meaning |")
	for k := range call.KindCount {
		if name := "`" + k.String() + "`"; !strings.Contains(kinds, name) {
			t.Errorf("docs/reference/metrics.md does not say what the kind %s means", name)
		}
		if reason := k.Reason(); reason != "" && !strings.Contains(reasons, "`"+reason+"`") {
			t.Errorf("docs/operations/README.md does not say what the reason %s means", reason)
		}
	}
}

// maxSeries is what docs/reference/metrics.md promises for one policy at one destination.
const maxSeries = seriesPerTarget

func TestSeriesArePerPolicyNotPerTraffic(t *testing.T) {
	m := testMeter()
	exercise(m.Recorder(payments, inventory))
	m.Watch(Sources{Stats: func(_ time.Time, f func(routes.Stats)) {
		s := routes.Stats{Policy: payments, Target: inventory, AttemptTimeout: time.Second, Share: 1, Shared: true, EjectionsPrevented: 1}
		for why := range s.Ejections {
			s.Ejections[why] = 1
		}
		f(s)
		f(routes.Stats{Policy: payments, Target: inventory, Shadow: true})
	}})
	n := 0
	for _, line := range scrapeText(t, m, "fairlead_") {
		if strings.Contains(line, `policy="shop/payments"`) {
			n++
		}
	}
	if n > maxSeries || n < maxSeries*3/4 {
		t.Errorf("%d series for one policy and target when everything has happened, documented are %d", n, maxSeries)
	}
	page, err := os.ReadFile("../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), fmt.Sprintf("at most %d series", seriesPerTarget)) {
		t.Error("docs/reference/metrics.md does not say how many series there are at most")
	}
}

func TestGRPCCallsAreCountedByTheirStatus(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	for _, status := range []int{0, 0, 14, -1} {
		r.CallDone(&routes.Exchange{GRPC: true, Outcome: call.Outcome{GRPCStatus: status}})
	}
	r.CallDone(ended(call.OK, call.NotNeeded, 200))
	const id = `policy="shop/payments"`
	want := []string{
		`fairlead_proxy_grpc_calls_total{` + id + `,status="OK",target="service warehouse/inventory"} 2`,
		`fairlead_proxy_grpc_calls_total{` + id + `,status="UNAVAILABLE",target="service warehouse/inventory"} 1`,
		`fairlead_proxy_grpc_calls_total{` + id + `,status="none",target="service warehouse/inventory"} 1`,
	}
	if diff := cmp.Diff(want, scrapeText(t, m, "fairlead_proxy_grpc_calls_total{")); diff != "" {
		t.Error(diff)
	}
}

func TestDeletedPoliciesAreForgotten(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	r.CallDone(ended(call.OK, call.NotNeeded, 200))
	with := &policy.Snapshot{Profiles: map[string]*policy.Profile{
		"p": {Bindings: []policy.Binding{{Policy: payments, To: policy.Target{Kind: policy.TargetService, Service: "warehouse/inventory"}}}},
	}}
	known := func() bool { return len(scrapeText(t, m, "fairlead_proxy_requests_total{")) > 0 }

	m.Installed(t0, with)
	m.reportAt(t0.Add(time.Hour))
	if !known() {
		t.Fatal("a policy in force was forgotten")
	}
	m.Installed(t0, &policy.Snapshot{})
	r.CallDone(ended(call.OK, call.NotNeeded, 200)) // a call in flight ends
	if got := m.reportAt(t0).Traffic; len(got) != 1 || got[0].Counts.Requests != 1 {
		t.Fatalf("the last call under a deleted policy is not reported: %+v", got)
	}
	m.reportAt(t0.Add(lingering - 1))
	if !known() {
		t.Fatal("forgotten while calls may be in flight")
	}
	if m.Recorder(payments, inventory) != r {
		t.Fatal("a policy that comes back starts again")
	}
	m.Installed(t0, with)
	m.Installed(t0, &policy.Snapshot{})
	m.reportAt(t0.Add(lingering))
	m.reportAt(t0.Add(2 * lingering))
	if known() {
		t.Error("the series of a deleted policy stay")
	}
	if m.Recorder(payments, inventory) == r {
		t.Error("the counters of a deleted policy come back")
	}
}

// What calls fall back on is counted for as long as they do.
func TestWhatCallsFallBackOnIsNotForgotten(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, "service standby/inventory")
	r.AttemptDone(&routes.Attempt{Kind: call.OK, Status: 200, Start: call.FallbackStart})
	b := policy.Binding{Policy: payments, To: policy.Target{Kind: policy.TargetService, Service: "warehouse/inventory"}}
	b.Base.Fallback = &policy.Fallback{Destination: &policy.Target{Kind: policy.TargetService, Service: "standby/inventory"}}
	m.Installed(t0, &policy.Snapshot{Profiles: map[string]*policy.Profile{"p": {Bindings: []policy.Binding{b}}}})
	m.reportAt(t0.Add(lingering))
	m.reportAt(t0.Add(2 * lingering))
	if m.Recorder(payments, "service standby/inventory") != r {
		t.Error("the counters of what calls fall back on start again")
	}
}
