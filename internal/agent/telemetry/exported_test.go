package telemetry

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/logs"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/policy"
)

// keptRecords is a client of a collector that keeps what is sent.
type keptRecords struct {
	mu      sync.Mutex
	records []sdklog.Record
	ended   bool
}

func (k *keptRecords) Export(_ context.Context, records []sdklog.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range records {
		k.records = append(k.records, records[i].Clone())
	}
	return nil
}

func (k *keptRecords) Shutdown(context.Context) error   { k.ended = true; return nil }
func (k *keptRecords) ForceFlush(context.Context) error { return nil }

// What is written is exported too, to the last line when the agent stops, and counted.
func TestLinesAreExportedToo(t *testing.T) {
	var kept keptRecords
	exporter, err := logs.New(logs.Options{Client: &kept, Log: slog.New(slog.DiscardHandler), Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	var meter *Meter
	const calls = 700
	got := linesOf(t, AccessLogOptions{Exporter: exporter}, func(m *Meter) {
		meter = m
		r := m.Recorder(payments, inventory)
		for range calls {
			r.CallDone(&routes.Exchange{
				Pod: "uid-1", Original: netip.MustParseAddrPort("10.0.0.1:80"), AccessLog: policy.AccessLogAll, Outcome: call.Outcome{Status: 503, Attempts: 2},
				Method: []byte("GET"), Host: []byte("inventory"), Path: []byte("/items?token=secret"), TraceID: tracing.TraceID{15: 7},
				Attempts: []routes.Attempt{{Kind: call.Reset, Peer: netip.MustParseAddrPort("10.0.1.1:80")}, {Status: 503, Peer: netip.MustParseAddrPort("10.0.1.2:80")}},
			})
		}
	})
	if len(got) != calls || len(kept.records) != calls || !kept.ended {
		t.Fatalf("%d lines are written, %d exported, and the client has ended: %v", len(got), len(kept.records), kept.ended)
	}
	for i := range kept.records {
		r, seen := &kept.records[i], map[string]bool{}
		r.WalkAttributes(func(a attribute.KeyValue) bool {
			seen[string(a.Key)] = true
			if a.Key == "path" && a.Value.AsString() != "/items" {
				t.Errorf("path %s", a.Value.AsString())
			}
			return true
		})
		for key := range got[i] {
			if key != "time" && key != "level" && key != "msg" && !seen[key] {
				t.Errorf("%s is written and not exported", key)
			}
		}
		if r.TraceID() != [16]byte{15: 7} {
			t.Errorf("trace %s", r.TraceID())
		}
	}
	for _, want := range []string{`{result="exported"} 700`, `{result="dropped"} 0`, `{result="failed"} 0`} {
		if shown := scrapeText(t, meter, "fairlead_accesslog_exported_lines_total"); !slices.Contains(shown, "fairlead_accesslog_exported_lines_total"+want) {
			t.Errorf("%v, want %s", shown, want)
		}
	}
}

// lineExporter exports lines to nobody.
func lineExporter(t *testing.T) *logs.Exporter {
	t.Helper()
	e, err := logs.New(logs.Options{Client: &keptRecords{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
