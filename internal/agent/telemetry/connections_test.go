package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/resilience"
)

func TestMetricsOfConnections(t *testing.T) {
	m := testMeter()
	m.Opened()
	m.Opened()
	m.Closed()
	m.Passed(proxy.PassedTLS)
	m.Malformed(drive.Refused{Status: 400})
	m.Malformed(drive.Refused{Status: 501})
	for from := range drive.SideCount {
		for f := range drive.FloodCount {
			for range int(from)*100 + int(f) + 1 {
				m.Flooded(from, f)
			}
		}
	}
	m.Panicked("uid", "boom", nil)
	replay := resilience.NewMemory(10)
	replay.Reserve(4)
	replay.Reserve(40)
	m.Watch(Sources{Replay: replay, Captures: func() CaptureState {
		return CaptureState{Captured: 5, Uncaptured: 2, Shedding: 3, Refused: 4, Shed: 5, OlderConnections: []Older{{payments, 3}}}
	}})
	for _, line := range []string{
		`fairlead_proxy_connections 1`, `fairlead_proxy_connections_total 2`, `fairlead_proxy_passed_connections_total{reason="tls"} 1`,
		`fairlead_proxy_malformed_requests_total{code="400"} 1`, `fairlead_proxy_malformed_requests_total{code="other"} 1`,
		`fairlead_proxy_panics_total 1`, `fairlead_replay_bytes 4`, `fairlead_replay_capped_total 1`,
		`fairlead_capture_pods 5`, `fairlead_capture_failed_pods 2`, `fairlead_capture_shedding_pods 3`,
		`fairlead_capture_shed_connections_total{how="refused"} 4`, `fairlead_capture_shed_connections_total{how="cut"} 5`, `fairlead_capture_older_connections{policy="shop/payments"} 3`,
	} {
		if got := scrapeText(t, m, line); len(got) != 1 {
			t.Errorf("no line %s", line)
		}
	}
	for from, peer := range []string{"client", "server"} {
		for f, kind := range []string{"reset", "continuation", "ping", "settings", "empty_data", "window_update", "priority", "unknown_frame", "header_list",
			"slow_header", "stalled", "flow_control"} {
			line := fmt.Sprintf(`fairlead_proxy_floods_total{kind=%q,peer=%q} %d`, kind, peer, from*100+f+1)
			if got := scrapeText(t, m, line); len(got) != 1 {
				t.Errorf("no line %s", line)
			}
		}
	}
}

// How long tunnels have lasted is shown in seconds to days, once one has ended.
func TestMetricsShowHowLongTunnelsLasted(t *testing.T) {
	m := testMeter()
	r := m.Recorder(payments, inventory)
	if got := scrapeText(t, m, "fairlead_proxy_tunnel_duration_seconds_"); len(got) > 0 {
		t.Errorf("without any: %v", got)
	}
	for _, d := range []time.Duration{-1, time.Second, time.Second + 1, 20 * time.Minute, 100 * 24 * time.Hour} {
		r.TunnelEnded(d)
	}
	bucket := func(le, n string) string {
		return `fairlead_proxy_tunnel_duration_seconds_bucket{policy="shop/payments",target="service warehouse/inventory",le="` + le + `"} ` + n
	}
	want := []string{
		bucket("1", "2"), bucket("10", "3"), bucket("60", "3"), bucket("300", "3"), bucket("900", "3"), bucket("3600", "4"), bucket("21600", "4"),
		bucket("86400", "4"), bucket("604800", "4"), bucket("+Inf", "5"),
	}
	if diff := cmp.Diff(want, scrapeText(t, m, "fairlead_proxy_tunnel_duration_seconds_bucket")); diff != "" {
		t.Error(diff)
	}
	const count = `fairlead_proxy_tunnel_duration_seconds_count{policy="shop/payments",target="service warehouse/inventory"} 5`
	const sum = `fairlead_proxy_tunnel_duration_seconds_sum{policy="shop/payments",target="service warehouse/inventory"} 8.641202`
	for _, line := range []string{count, sum} {
		if got := scrapeText(t, m, line); len(got) != 1 {
			t.Errorf("no line %s in %v", line, scrapeText(t, m, line[:strings.IndexByte(line, '{')]))
		}
	}
}
