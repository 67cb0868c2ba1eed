package logs

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// collector takes logs over OTLP, by gRPC and by HTTP, and keeps them.
type collector struct {
	collogspb.UnimplementedLogsServiceServer

	// before is called before a batch is taken, which it may refuse; nil: none is.
	before func(ctx context.Context) error

	mu      sync.Mutex
	records []*logspb.LogRecord
	from    []map[string]any // what each batch comes from
	keys    []string         // the header field api-key of each batch
}

func (c *collector) Export(ctx context.Context, q *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return nil, err
		}
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	c.take(append(sent.Get("api-key"), "")[0], q)
	return &collogspb.ExportLogsServiceResponse{}, nil
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.before != nil {
		if err := c.before(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	var q collogspb.ExportLogsServiceRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || proto.Unmarshal(body, &q) != nil || r.URL.Path != "/v1/logs" {
		http.Error(w, "no batch of logs", http.StatusBadRequest)
		return
	}
	c.take(r.Header.Get("Api-Key"), &q)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) take(key string, q *collogspb.ExportLogsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = append(c.keys, key)
	for _, r := range q.GetResourceLogs() {
		c.from = append(c.from, attributes(r.GetResource().GetAttributes()))
		for _, s := range r.GetScopeLogs() {
			c.records = append(c.records, s.GetLogRecords()...)
		}
	}
}

// serve serves a collector until the test ends, with TLS if there is a configuration, and returns its URL.
func serve(t *testing.T, c *collector, protocol string, secure *tls.Config) string {
	t.Helper()
	if protocol != "grpc" {
		s := httptest.NewUnstartedServer(c)
		if s.TLS = secure; secure != nil {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s.URL
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme, options := "http://", []grpc.ServerOption(nil)
	if secure != nil {
		scheme, options = "https://", append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	s := grpc.NewServer(options...)
	collogspb.RegisterLogsServiceServer(s, c)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); running.Wait() })
	return scheme + l.Addr().String()
}

// attributes returns attributes by their names.
func attributes(list []*commonpb.KeyValue) map[string]any {
	out := map[string]any{}
	for _, a := range list {
		out[a.GetKey()] = plain(a.GetValue())
	}
	return out
}

func plain(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_KvlistValue:
		return attributes(v.KvlistValue.GetValues())
	case *commonpb.AnyValue_ArrayValue:
		out := []any{}
		for _, of := range v.ArrayValue.GetValues() {
			out = append(out, plain(of))
		}
		return out
	}
	return nil
}
