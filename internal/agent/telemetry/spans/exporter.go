// Package spans exports the spans of traced calls to an OpenTelemetry collector (OTLP). It must not hold up a call: what cannot be sent in time is
// dropped and counted.
package spans

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/otlp"
	"fairlead.dev/fairlead/internal/policy"
)

// maxQueued calls wait to be exported, some 3 KiB each at most; the spans of more are dropped.
const maxQueued = otlp.MaxQueued

// Options configure an Exporter. Client and Log are required.
type Options struct {
	// Client sends batches. Its UploadTraces must end in bounded time.
	Client otlptrace.Client
	// Log is for operators.
	Log *slog.Logger
	// Node is the name of the node.
	Node string
	// Pod returns namespace/name for a UID, and what the pod belongs to, as kind/name, if that is known; nil leaves out what pods are called.
	Pod func(uid string) (name, workload string)
}

// ClientFromEnvironment returns a client as the environment of the process describes it; nil if it has no traces exported. An error says which variable is
// wrong and what to write.
func ClientFromEnvironment() (otlptrace.Client, error) {
	switch protocol, err := otlp.Traces.Protocol(); protocol {
	case otlp.GRPC:
		return otlptracegrpc.NewClient(), nil
	case otlp.HTTP:
		return otlptracehttp.NewClient(), nil
	default:
		return nil, err
	}
}

// Exporter exports spans while Run runs. The path of a call copies a few fields into a queue.
type Exporter struct {
	// immutable
	pod    func(uid string) (name, workload string)
	sender otlp.Sender[*record, *tracepb.Span]
	queue  chan *record
	spare  sync.Pool

	dropped atomic.Uint64
}

// New returns an exporter that has nothing to export yet.
func New(o Options) (*Exporter, error) {
	if o.Client == nil || o.Log == nil {
		return nil, errors.New("spans: no client or no log")
	}
	r, err := resourceOf(o.Node)
	if err != nil {
		return nil, err
	}
	e := &Exporter{pod: o.Pod, queue: make(chan *record, maxQueued), spare: sync.Pool{New: func() any { return new(record) }}}
	e.sender.What, e.sender.Log, e.sender.Append = "spans", o.Log, e.take
	e.sender.Start, e.sender.Stop = o.Client.Start, o.Client.Stop
	e.sender.Send = func(ctx context.Context, batch []*tracepb.Span) error {
		return o.Client.UploadTraces(ctx, []*tracepb.ResourceSpans{{
			Resource: r, ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope, Spans: batch}}, SchemaUrl: schema,
		}})
	}
	return e, nil
}

// resourceOf says what spans come from.
func resourceOf(node string) (*resourcepb.Resource, error) {
	r, err := otlp.Resource(node)
	if err != nil {
		return nil, err
	}
	var out []*commonpb.KeyValue
	for _, a := range r.Attributes() {
		out = append(out, text(string(a.Key), a.Value.String()))
	}
	return &resourcepb.Resource{Attributes: out}, nil
}

// Stats returns what has become of the spans so far.
func (e *Exporter) Stats() otlp.Stats { return e.sender.Stats(e.dropped.Load()) }

// Call takes a call that has ended, with its spans, under one policy at one target. It never waits, and keeps nothing of x.
func (e *Exporter) Call(x *routes.Exchange, id policy.ID, target string) {
	r := e.spare.Get().(*record)
	r.copyOf(x, id, target)
	select {
	case e.queue <- r:
	default:
		e.dropped.Add(r.spans())
		e.spare.Put(r)
	}
}

// Run sends spans until ctx ends, and then those still queued, for a moment.
func (e *Exporter) Run(ctx context.Context) error { return e.sender.Run(ctx, e.queue) }

// take appends the spans of a call.
func (e *Exporter) take(to []*tracepb.Span, r *record) []*tracepb.Span {
	to = e.appendSpans(to, r)
	r.forget()
	e.spare.Put(r)
	return to
}
