package logs

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"google.golang.org/grpc/codes"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/telemetry/otlp"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// fromEnvironment returns the client that some variables describe.
func fromEnvironment(t *testing.T, variables map[string]string) sdklog.Exporter {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	c, err := ClientFromEnvironment()
	if err != nil || c == nil {
		t.Fatalf("%v, %v", c, err)
	}
	return c
}

// start runs an exporter. stop ends it, which sends what has not been sent.
func start(t *testing.T, c sdklog.Exporter) (e *Exporter, stop func()) {
	t.Helper()
	e, err := New(Options{Client: c, Log: slog.New(slog.DiscardHandler), Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return e, stop
}

type try struct {
	Peer   string `json:"peer"`
	Detail string `json:"detail,omitempty"`
}

var at = time.Unix(1_800_000_000, 7)

func line() Line {
	return Line{At: at, Trace: [16]byte{15: 9}, Attrs: []slog.Attr{
		slog.String("pod", "shop/checkout"), slog.Int("status", 503), slog.Bool("reused", true), slog.Any("tried", []try{{"10.0.0.1:80", "refused"}, {"10.0.0.2:80", ""}}),
		slog.Any("faults", struct {
			Delays uint8 `json:"delays"`
		}{2}),
	}}
}

// Lines reach collectors over gRPC and HTTP, in the clear and over TLS with a client certificate, with what the log says in them and with the trace.
func TestLinesAreExported(t *testing.T) {
	authority := tlstest.New(t)
	own := authority.Issue(nil, "127.0.0.1")
	certificate, key := tlstest.PEMs(t, own)
	server := &tls.Config{Certificates: []tls.Certificate{*own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(), MinVersion: tls.VersionTLS13}
	for name, tc := range map[string]struct {
		protocol string
		secure   *tls.Config
	}{"gRPC": {"grpc", nil}, "gRPC over TLS": {"grpc", server}, "HTTP": {"http/protobuf", nil}, "HTTP over TLS": {"http/protobuf", server}} {
		t.Run(name, func(t *testing.T) {
			var c collector
			variables := map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": serve(t, &c, tc.protocol, tc.secure), "OTEL_EXPORTER_OTLP_PROTOCOL": tc.protocol,
				"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20secret", "OTEL_RESOURCE_ATTRIBUTES": "cluster=a",
			}
			if tc.secure != nil {
				variables["OTEL_EXPORTER_OTLP_CERTIFICATE"] = write(t, authority.PEM())
				variables["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"], variables["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = write(t, certificate), write(t, key)
			}
			e, stop := start(t, fromEnvironment(t, variables))
			const sent = otlp.MaxBatch + 100
			for range sent {
				e.Line(line())
			}
			stop()
			if len(c.records) != sent || e.Stats() != (otlp.Stats{Exported: sent}) {
				t.Fatalf("%d lines have come, and %+v", len(c.records), e.Stats())
			}
			checkRecords(t, &c)
		})
	}
}

func checkRecords(t *testing.T, c *collector) {
	t.Helper()
	for i, key := range c.keys {
		if key != "a secret" {
			t.Errorf("a batch has come with the key %q", key)
		}
		if d := cmp.Diff(map[string]any{"service.name": "fairlead-agent", "k8s.node.name": "n1", "cluster": "a"}, c.from[i]); d != "" {
			t.Error(d)
		}
	}
	want := map[string]any{
		"pod": "shop/checkout", "status": int64(503), "reused": true, "faults": map[string]any{"delays": int64(2)},
		"tried": []any{map[string]any{"peer": "10.0.0.1:80", "detail": "refused"}, map[string]any{"peer": "10.0.0.2:80"}},
	}
	for _, r := range c.records {
		if d := cmp.Diff(want, attributes(r.GetAttributes())); d != "" {
			t.Fatal(d)
		}
		if r.GetBody().GetStringValue() != "call" || r.GetSeverityText() != "INFO" || r.GetSeverityNumber() != 9 || r.GetEventName() != "fairlead.call" ||
			r.GetTimeUnixNano() != uint64(at.UnixNano()) || hex.EncodeToString(r.GetTraceId()) != "00000000000000000000000000000009" {
			t.Fatalf("%v", r)
		}
	}
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a pod has sent is exported though it is no UTF-8, and takes no other line with it.
func TestLinesThatAreNoUTF8AreExported(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			var c collector
			e, stop := start(t, fromEnvironment(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": serve(t, &c, protocol, nil), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_LOGS_EXPORTER": "otlp",
			}))
			e.Line(Line{At: at, Attrs: []slog.Attr{slog.String("path", "/caf\xe9"), slog.Any("tried", []try{{Peer: "a\xff"}})}})
			e.Line(line())
			stop()
			if s := e.Stats(); s != (otlp.Stats{Exported: 2}) || len(c.records) != 2 {
				t.Fatalf("%+v, and %d lines have come", s, len(c.records))
			}
			want := map[string]any{"path": "/caf\uFFFD", "tried": []any{map[string]any{"peer": "a\uFFFD"}}}
			if d := cmp.Diff(want, attributes(c.records[0].GetAttributes())); d != "" {
				t.Error(d)
			}
		})
	}
}

// A collector that does not answer holds up nothing: what waits is bounded, and what is beyond is dropped and counted.
func TestACollectorThatHangsHoldsUpNothing(t *testing.T) {
	asked := make(chan struct{})
	once := sync.OnceFunc(func() { close(asked) })
	c := collector{before: func(ctx context.Context) error {
		once()
		<-ctx.Done()
		return ctx.Err()
	}}
	e, stop := start(t, fromEnvironment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": serve(t, &c, "grpc", nil), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
	}))
	for range otlp.MaxBatch {
		e.Line(line())
	}
	<-asked // with that batch; nothing is taken from the queue until it has failed
	const more = 2*otlp.MaxQueued + otlp.MaxBatch
	for range more {
		e.Line(line())
	}
	stop()
	if s := e.Stats(); s.Exported != 0 || s.Dropped == 0 || s.Dropped+s.Failed != more+otlp.MaxBatch {
		t.Errorf("%+v", s)
	}
}

// Lines that a collector refuses are counted, and those to come are sent.
func TestACollectorThatRefuses(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			refusals, took := 1, make(chan struct{}, 2)
			var c collector
			c.before = func(context.Context) error {
				defer func() { took <- struct{}{} }()
				if refusals > 0 {
					refusals--
					return rpcstatus.Error(codes.PermissionDenied, "no")
				}
				return nil
			}
			endpoint := serve(t, &c, protocol, nil)
			if protocol != "grpc" {
				endpoint += "/v1/logs" // one for logs alone is used as it stands
			}
			e, stop := start(t, fromEnvironment(t, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": protocol}))
			for range otlp.MaxBatch {
				e.Line(line())
			}
			<-took
			e.Line(line())
			stop()
			if s := e.Stats(); s != (otlp.Stats{Exported: 1, Failed: otlp.MaxBatch}) || len(c.records) != 1 {
				t.Errorf("%+v, and %d lines have come", s, len(c.records))
			}
		})
	}
}

func TestWithoutACollectorThereIsNoExporter(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317") // of traces
	if c, err := ClientFromEnvironment(); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := New(Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("it was made without a client")
	}
}
