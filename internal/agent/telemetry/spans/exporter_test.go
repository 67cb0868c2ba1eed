package spans

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/otlp"
	"fairlead.dev/fairlead/internal/agent/telemetry/spans/spanstest"
	"fairlead.dev/fairlead/internal/agent/tracing"
	"fairlead.dev/fairlead/internal/policy"
)

// serveGRPC serves a collector over gRPC and returns its address.
func serveGRPC(t *testing.T, c *spanstest.Collector, o ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(o...)
	coltracepb.RegisterTraceServiceServer(s, c)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); running.Wait() })
	return l.Addr().String()
}

// fromEnvironment returns the client that some variables describe.
func fromEnvironment(t *testing.T, variables map[string]string) otlptrace.Client {
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
func start(t *testing.T, c otlptrace.Client) (e *Exporter, stop func()) {
	t.Helper()
	e, err := New(Options{Client: c, Log: slog.New(slog.DiscardHandler), Node: "n1", Pod: func(uid string) (string, string) { return "shop/" + uid, "Deployment/c" }})
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

// exchange is a call with one attempt.
func exchange() *routes.Exchange {
	now := time.Now()
	return &routes.Exchange{
		Pod: "checkout", Original: netip.MustParseAddrPort("10.0.0.1:80"), Outcome: call.Outcome{Status: 200, Attempts: 1}, Took: time.Second, Rule: "r",
		Attempts: []routes.Attempt{{Status: 200, Peer: netip.MustParseAddrPort("10.1.0.1:8080"), Took: time.Second}},
		Method:   []byte("GET"), Host: []byte("me:secret@shop.example"), Path: []byte("/a#b?c"),
		Trace: &routes.Trace{
			ID: tracing.NewTraceID(), Span: tracing.NewSpanID(), Flags: 1, Began: now,
			Attempts: []routes.Span{{ID: tracing.NewSpanID(), Number: 1, Began: now}},
		},
	}
}

var owner = policy.ID{Namespace: "shop", Name: "p"}

// Spans reach collectors over gRPC and HTTP, in the clear and over TLS with a client certificate, with the header fields that were written.
func TestSpansAreExported(t *testing.T) {
	ca := newCA(t)
	for name, tc := range map[string]struct {
		protocol string
		secure   bool
	}{
		"gRPC": {"grpc", false}, "gRPC over TLS": {"grpc", true}, "HTTP": {"http/protobuf", false}, "HTTP over TLS": {"http/protobuf", true},
	} {
		t.Run(name, func(t *testing.T) {
			var c spanstest.Collector
			variables := map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL": tc.protocol, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20secret",
				"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
			}
			if tc.secure {
				variables["OTEL_EXPORTER_OTLP_CERTIFICATE"] = ca.file
				variables["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"], variables["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = ca.clientCertificate, ca.clientKey
			}
			scheme := map[bool]string{false: "http://", true: "https://"}[tc.secure]
			switch {
			case tc.protocol == "grpc" && tc.secure:
				variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = scheme + serveGRPC(t, &c, grpc.Creds(credentials.NewTLS(ca.server)))
			case tc.protocol == "grpc":
				variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = scheme + serveGRPC(t, &c)
			default:
				s := httptest.NewUnstartedServer(&c)
				if s.TLS = ca.server; tc.secure {
					s.StartTLS()
				} else {
					s.Start()
				}
				t.Cleanup(s.Close)
				variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = s.URL
			}
			e, stop := start(t, fromEnvironment(t, variables))
			for range 700 { // more than a batch
				e.Call(exchange(), owner, "any")
			}
			stop()
			if got := len(c.Spans()); got != 1400 || e.Stats() != (otlp.Stats{Exported: 1400}) {
				t.Fatalf("%d spans have come, and %+v", got, e.Stats())
			}
			for _, h := range c.Headers() {
				if h.Get("Api-Key") != "a secret" {
					t.Errorf("a batch has come with the key %q", h.Get("Api-Key"))
				}
			}
			want := map[string]any{"service.name": "fairlead-agent", "k8s.node.name": "n1", "deployment.environment.name": "test"}
			if d := cmp.Diff(want, spanstest.Attributes(c.Resources()[0].GetAttributes())); d != "" {
				t.Error(d)
			}
			a := spanstest.Attributes(c.Spans()[0].GetAttributes())
			for key, want := range map[string]any{
				"k8s.namespace.name": "shop", "k8s.pod.name": "checkout", "fairlead.workload": "Deployment/c", "fairlead.policy": "shop/p", "fairlead.rule": "r", "url.path": "/a", "server.address": "shop.example", "server.port": int64(80),
			} {
				if a[key] != want {
					t.Errorf("%s is %v, want %v", key, a[key], want)
				}
			}
		})
	}
}

// A collector that does not answer costs no call anything: what waits is bounded, and what is beyond is dropped and counted.
func TestACollectorThatHangsHoldsUpNothing(t *testing.T) {
	asked := make(chan struct{})
	once := sync.OnceFunc(func() { close(asked) })
	c := spanstest.Collector{Before: func(ctx context.Context) error {
		once()
		<-ctx.Done()
		return ctx.Err()
	}}
	client := fromEnvironment(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + serveGRPC(t, &c), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
	})
	e, stop := start(t, client)
	for range otlp.MaxBatch / 2 {
		e.Call(exchange(), owner, "any")
	}
	<-asked // with that batch; nothing is taken from the queue until it has failed
	for range 2*maxQueued + otlp.MaxBatch {
		e.Call(exchange(), owner, "any")
	}
	stop()
	if s := e.Stats(); s.Exported != 0 || s.Dropped == 0 || s.Dropped+s.Failed != 2*(2*maxQueued+otlp.MaxBatch+otlp.MaxBatch/2) {
		t.Errorf("%+v", s)
	}
}

// Spans that a collector refuses, or that reach none, are counted, and those to come are sent.
func TestACollectorThatRefuses(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			refusals := 1
			took := make(chan struct{}, 1)
			c := spanstest.Collector{}
			c.Before = func(context.Context) error {
				defer func() { took <- struct{}{} }()
				if refusals > 0 {
					refusals--
					return rpcstatus.Error(codes.PermissionDenied, "no")
				}
				return nil
			}
			endpoint := ""
			if protocol == "grpc" {
				endpoint = "http://" + serveGRPC(t, &c)
			} else {
				s := httptest.NewServer(&c)
				t.Cleanup(s.Close)
				endpoint = s.URL
			}
			e, stop := start(t, fromEnvironment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}))
			for range otlp.MaxBatch / 2 {
				e.Call(exchange(), owner, "any")
			}
			<-took
			e.Call(exchange(), owner, "any")
			stop()
			if s := e.Stats(); s != (otlp.Stats{Exported: 2, Failed: otlp.MaxBatch}) || len(c.Spans()) != 2 {
				t.Errorf("%+v, and %d spans have come", s, len(c.Spans()))
			}
		})
	}
}

func TestANewExporterNeedsAClient(t *testing.T) {
	if _, err := New(Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("it was made without a client")
	}
}

// stuckClient takes nothing until it is cut off.
type stuckClient struct{ otlptrace.Client }

func (stuckClient) Start(context.Context) error { return errors.New("no") }

func TestAClientThatDoesNotStart(t *testing.T) {
	e, err := New(Options{Client: stuckClient{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err == nil {
		t.Error("it runs")
	}
}

// Taking a call copies it into memory that was used before.
func TestTakingACallAllocatesNothing(t *testing.T) {
	e, err := New(Options{Client: stuckClient{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	x := exchange()
	once := func() {
		e.Call(x, owner, "any")
		r := <-e.queue
		r.forget()
		e.spare.Put(r)
	}
	once()
	if n := testing.AllocsPerRun(1000, once); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
