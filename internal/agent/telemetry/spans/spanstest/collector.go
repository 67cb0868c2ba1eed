// Package spanstest is an OpenTelemetry collector for tests: it takes spans over OTLP, by gRPC and by HTTP, and keeps them. It must not be part of a
// program.
package spanstest

import (
	"context"
	"io"
	"net/http"
	"sync"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Collector is a collector. The zero Collector takes everything.
type Collector struct {
	coltracepb.UnimplementedTraceServiceServer

	// Before is called before a batch is taken, which it may refuse; nil: none is.
	Before func(ctx context.Context) error

	mu        sync.Mutex
	spans     []*tracepb.Span
	resources []*resourcepb.Resource
	headers   []http.Header
}

var (
	_ coltracepb.TraceServiceServer = (*Collector)(nil)
	_ http.Handler                  = (*Collector)(nil)
)

// Export implements coltracepb.TraceServiceServer.
func (c *Collector) Export(ctx context.Context, q *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	if c.Before != nil {
		if err := c.Before(ctx); err != nil {
			return nil, err
		}
	}
	sent, _ := metadata.FromIncomingContext(ctx)
	h := http.Header{}
	for name, values := range sent {
		h[http.CanonicalHeaderKey(name)] = values
	}
	c.take(h, q)
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// ServeHTTP implements http.Handler for POST /v1/traces.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.Before != nil {
		if err := c.Before(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	var q coltracepb.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, &q)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no batch of spans", http.StatusBadRequest)
		return
	}
	c.take(r.Header, &q)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *Collector) take(h http.Header, q *coltracepb.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, h)
	for _, r := range q.GetResourceSpans() {
		c.resources = append(c.resources, r.GetResource())
		for _, s := range r.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
}

// Spans returns what has come.
func (c *Collector) Spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tracepb.Span(nil), c.spans...)
}

// Resources returns what each batch says of where it comes from.
func (c *Collector) Resources() []*resourcepb.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*resourcepb.Resource(nil), c.resources...)
}

// Headers returns the header fields, or metadata, of each batch.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.headers...)
}

// Attributes returns attributes by their names, as strings or int64s.
func Attributes(list []*commonpb.KeyValue) map[string]any {
	out := map[string]any{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			out[a.GetKey()] = v.IntValue
		}
	}
	return out
}
