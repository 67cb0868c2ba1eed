package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"strconv"
	"sync"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// span is what of a span tests look at.
type span struct {
	Trace, ID, Parent, Name string
	Kind                    int32
	Attributes              map[string]string
}

// logged is what of a log record tests look at.
type logged struct {
	Trace, Body string
	Attributes  map[string]string
}

// collector keeps the spans and the log records that it receives over OTLP.
type collector struct {
	coltracepb.UnimplementedTraceServiceServer

	mu sync.Mutex
	// guarded by mu
	spans []span
	logs  []logged
}

// logCollector takes log records for a collector.
type logCollector struct {
	collogspb.UnimplementedLogsServiceServer

	of *collector
}

// Export implements collogspb.LogsServiceServer.
func (l logCollector) Export(_ context.Context, q *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	for _, r := range q.GetResourceLogs() {
		for _, scope := range r.GetScopeLogs() {
			for _, s := range scope.GetLogRecords() {
				out := logged{Trace: hex.EncodeToString(s.GetTraceId()), Body: s.GetBody().GetStringValue(), Attributes: map[string]string{}}
				for _, a := range s.GetAttributes() {
					if out.Attributes[a.GetKey()] = a.GetValue().GetStringValue(); out.Attributes[a.GetKey()] == "" {
						out.Attributes[a.GetKey()] = strconv.FormatInt(a.GetValue().GetIntValue(), 10)
					}
				}
				l.of.logs = append(l.of.logs, out)
			}
		}
	}
	return &collogspb.ExportLogsServiceResponse{}, nil
}

// Export implements coltracepb.TraceServiceServer.
func (c *collector) Export(_ context.Context, q *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range q.GetResourceSpans() {
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				out := span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Name: s.GetName(), Kind: int32(s.GetKind()), Attributes: map[string]string{},
				}
				for _, a := range s.GetAttributes() {
					out.Attributes[a.GetKey()] = a.GetValue().GetStringValue()
				}
				c.spans = append(c.spans, out)
			}
		}
	}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// ServeHTTP answers the spans so far as JSON, and at /logs the log records.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.URL.Path == "/logs" {
		_ = json.NewEncoder(w).Encode(c.logs)
		return
	}
	_ = json.NewEncoder(w).Encode(c.spans)
}

// collect serves OTLP over gRPC, shows what it has received over HTTP, and echoes raw TCP, as serve does, for who waits until it is ready.
func collect(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("collect", flag.ContinueOnError)
	otlp := fs.String("otlp", ":4317", "address of the OTLP server")
	page := fs.String("http", ":8080", "address of the page of spans and log records")
	echo := fs.String("echo", ":7070", "address of the raw TCP server, which sends back what it receives")
	if err := fs.Parse(args); err != nil {
		return err
	}
	c := &collector{}
	rpc := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(rpc, c)
	collogspb.RegisterLogsServiceServer(rpc, logCollector{of: c})
	failed := make(chan error, 3)
	for addr, run := range map[string]func(net.Listener) error{
		*otlp: rpc.Serve,
		*page: (&http.Server{Handler: c}).Serve, //nolint:gosec // a test's
		*echo: func(l net.Listener) error { echoAll(l); return nil },
	} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		go func() { failed <- run(l) }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}
