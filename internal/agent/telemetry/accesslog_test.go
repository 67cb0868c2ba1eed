package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/policy"
)

// lines logs the exchanges and returns what was written.
func lines(t *testing.T, o AccessLogOptions, exchanges ...*routes.Exchange) []map[string]any {
	t.Helper()
	return linesOf(t, o, func(m *Meter) {
		r := m.Recorder(payments, inventory)
		for _, e := range exchanges {
			r.CallDone(e)
		}
	})
}

// linesOf returns what is written of what happens.
func linesOf(t *testing.T, o AccessLogOptions, happens func(*Meter)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	o.Writer = &out
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	happens(New(Options{Logger: slog.New(slog.DiscardHandler), AccessLog: l}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for d := json.NewDecoder(&out); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	return got
}

// podsOf knows one pod.
func podsOf(uid, name, workload string) func(string) (string, string) {
	return func(asked string) (string, string) {
		if asked == uid {
			return name, workload
		}
		return "", ""
	}
}

func TestAccessLogLine(t *testing.T) {
	got := lines(t, AccessLogOptions{Pod: podsOf("uid-1", "shop/checkout", "Deployment/checkout")}, &routes.Exchange{
		Pod: "uid-1", Original: netip.MustParseAddrPort("10.0.0.1:80"), Rule: "charge", AccessLog: policy.AccessLogAll,
		Outcome: call.Outcome{Kind: call.OK, Cause: call.Reset, Decision: call.Exhausted, Status: 503, Attempts: 3, Took: 1500 * time.Millisecond, Truncated: true},
		Took:    2 * time.Second, Detail: routes.DetailReset, TraceID: tracing.TraceID{15: 7},
		Attempts: []routes.Attempt{
			{Kind: call.ConnectFailed, Peer: netip.MustParseAddrPort("10.0.1.1:80"), Detail: routes.DetailRefused},
			{Kind: call.OK, Status: 503, Start: call.Retry, Peer: netip.MustParseAddrPort("10.0.1.2:80")},
			{Kind: call.Reset, Start: call.Retry, Reused: true, Peer: netip.MustParseAddrPort("10.0.1.3:80"), Detail: routes.DetailReset},
		},
		Method: []byte("GET"), Host: []byte("inventory"), Path: []byte("/items#token=secret"),
	})
	want := map[string]any{
		"level": "INFO", "msg": "call", "policy": "shop/payments", "target": inventory, "pod": "shop/checkout", "workload": "Deployment/checkout",
		"method": "GET",
		"host":   "inventory", "path": "/items", "to": "10.0.0.1:80", "status": 503.0, "kind": "response", "cause": "reset", "retry_decision": "exhausted",
		"tries": 3.0, "head": "1.500000", "dur": "2.000000", "rule": "charge", "truncated": true, "traceId": "00000000000000000000000000000007",
		"peer": "10.0.1.3:80", "reused": true, "detail": "connection reset",
		"tried": []any{
			map[string]any{"peer": "10.0.1.1:80", "start": "first", "result": "connect_failure", "detail": "connection refused"},
			map[string]any{"peer": "10.0.1.2:80", "start": "retry", "result": "503"},
			map[string]any{"peer": "10.0.1.3:80", "start": "retry", "result": "reset", "detail": "connection reset"},
		},
	}
	checkLine(t, got, want)
}

func TestAccessLogOfGRPC(t *testing.T) {
	peer := netip.MustParseAddrPort("10.0.1.1:80")
	got := lines(t, AccessLogOptions{}, &routes.Exchange{
		Original: peer, AccessLog: policy.AccessLogAll, GRPC: true, Outcome: call.Outcome{Status: 200, GRPCStatus: 5, Decision: call.Recovered, Attempts: 2},
		Attempts: []routes.Attempt{{Status: 200, GRPC: true, GRPCStatus: 14, Peer: peer}, {Status: 200, Start: call.Retry, Peer: peer}},
	})
	if len(got) != 1 || got[0]["grpcStatus"] != "NOT_FOUND" {
		t.Fatalf("%v", got)
	}
	if first := got[0]["tried"].([]any)[0].(map[string]any); first["result"] != "UNAVAILABLE" {
		t.Errorf("%v", first)
	}
}

// checkLine checks the one line that was written, but for its time.
func checkLine(t *testing.T, got []map[string]any, want map[string]any) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%d lines", len(got))
	}
	delete(got[0], "time")
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
}

// What a dry run would have done is logged, also where nothing is wrong with the call and only errors are wanted.
func TestAccessLogOfDryRuns(t *testing.T) {
	with := func(d routes.DryRun) *routes.Exchange {
		e := ended(call.OK, call.NotNeeded, 200)
		e.AccessLog, e.DryRun = policy.AccessLogErrors, d
		return e
	}
	looked := routes.DryRun{Looked: true, Policy: policy.ID{Namespace: "shop", Name: "quota"}}
	limited := looked
	limited.Would, limited.After, limited.Detail = call.WouldLimit, 250*time.Millisecond, routes.DetailRateLimit
	hedged := looked
	hedged.Would, hedged.After = call.WouldHedge, time.Second
	got := lines(t, AccessLogOptions{}, with(looked), with(limited), with(hedged))
	want := []any{
		map[string]any{"policy": "shop/quota", "would": "limit", "after": "0.250000", "detail": "rateLimit"},
		map[string]any{"policy": "shop/quota", "would": "hedge", "after": "1.000000"},
	}
	var dryRuns []any
	for _, line := range got {
		dryRuns = append(dryRuns, line["dryRun"])
	}
	if diff := cmp.Diff(want, dryRuns); diff != "" {
		t.Error(diff)
	}
}

// A request that was refused leaves a line though no policy may govern it.
func TestAccessLogOfRefusedRequests(t *testing.T) {
	got := linesOf(t, AccessLogOptions{}, func(m *Meter) {
		m.Malformed(drive.Refused{
			Pod: "uid-1", Original: netip.MustParseAddrPort("10.0.0.1:80"), Status: 400, Reason: "malformed chunk size",
			Method: []byte("PUT"), Host: []byte("me:secret@a"), Path: []byte("http://me:secret@a/x?secret"),
		})
	})
	checkLine(t, got, map[string]any{
		"level": "INFO", "msg": "call", "pod": "uid-1", "method": "PUT", "host": "a", "path": "/x", "to": "10.0.0.1:80",
		"status": 400.0, "kind": "malformed_request", "detail": "malformed chunk size",
	})
}

//enforces:agent observability.accessLog
func TestAccessLogSettings(t *testing.T) {
	with := func(s policy.AccessLog, e *routes.Exchange) *routes.Exchange {
		c := *e
		c.AccessLog = s
		return &c
	}
	good, failed, gone := ended(call.OK, call.NotNeeded, 200), ended(call.OK, call.Exhausted, 503), ended(call.ClientGone, call.Abandoned, 0)
	cut := ended(call.OK, call.NotNeeded, 200)
	cut.Outcome.Truncated = true
	tests := map[string]struct {
		setting policy.AccessLog
		want    int
	}{
		"All":    {policy.AccessLogAll, 4},
		"Errors": {policy.AccessLogErrors, 3}, // but for the good one
		"Off":    {policy.AccessLogOff, 0},
	}
	for name, tc := range tests {
		got := lines(t, AccessLogOptions{}, with(tc.setting, good), with(tc.setting, failed), with(tc.setting, gone), with(tc.setting, cut))
		if len(got) != tc.want {
			t.Errorf("%s: %d lines, want %d", name, len(got), tc.want)
		}
	}
}

func TestAccessLogCutsWhatIsLong(t *testing.T) {
	e := ended(call.OK, call.NotNeeded, 200)
	e.AccessLog, e.Path = policy.AccessLogAll, []byte("/"+strings.Repeat("x\"\n", 1000))
	got := lines(t, AccessLogOptions{}, e)
	if len(got) != 1 || len(got[0]["path"].(string)) != maxPath {
		t.Errorf("%v", got)
	}
}

func TestAccessLogIsBounded(t *testing.T) {
	l, err := NewAccessLog(AccessLogOptions{Writer: &bytes.Buffer{}, LinesPerSecond: 10})
	if err != nil {
		t.Fatal(err)
	}
	admitted := 0
	for range 25 {
		if l.admit(t0) {
			admitted++
		}
	}
	if admitted != 10 || !l.admit(t0.Add(time.Second)) {
		t.Errorf("%d lines in one second, want 10, and more in the next", admitted)
	}

	l.limit = 1 << 31
	m := New(Options{Logger: slog.New(slog.DiscardHandler), AccessLog: l})
	r := m.Recorder(payments, inventory)
	e := ended(call.OK, call.Exhausted, 503)
	for range maxQueued + 7 { // nobody writes: nothing blocks
		r.CallDone(e)
	}
	if got := l.dropped.Load(); got != 7 {
		t.Errorf("%d lines dropped, want 7", got)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestAccessLogWritesWhileItRuns(t *testing.T) {
	if _, err := NewAccessLog(AccessLogOptions{}); err == nil {
		t.Error("a log without a writer")
	}
	l, err := NewAccessLog(AccessLogOptions{Writer: brokenWriter{}})
	if err != nil {
		t.Fatal(err)
	}
	m := New(Options{Logger: slog.New(slog.DiscardHandler), AccessLog: l})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	m.Recorder(payments, inventory).CallDone(ended(call.OK, call.Exhausted, 503))
	cancel()
	wg.Wait()
	if l.dropped.Load() != 1 || l.written.Load() != 0 {
		t.Errorf("%d dropped, %d written by a writer that fails", l.dropped.Load(), l.written.Load())
	}
}
