// Package logs exports the lines of the access log to an OpenTelemetry collector (OTLP). It must not hold up a call, nor the log: what cannot be sent in time
// is dropped and counted.
package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"

	"fairlead.dev/fairlead/internal/agent/telemetry/otlp"
)

// Options configure an Exporter. Client and Log are required.
type Options struct {
	// Client sends batches. Its Export must end in bounded time.
	Client sdklog.Exporter
	// Log is for operators.
	Log *slog.Logger
	// Node is the name of the node.
	Node string
}

// ClientFromEnvironment returns a client as the environment of the process describes it; nil if it has no logs exported. An error says which variable is wrong
// and what to write.
func ClientFromEnvironment() (sdklog.Exporter, error) {
	switch protocol, err := otlp.Logs.Protocol(); protocol {
	case otlp.GRPC:
		return otlploggrpc.New(context.Background())
	case otlp.HTTP:
		return otlploghttp.New(context.Background())
	default:
		return nil, err
	}
}

// Line is a line of the access log. Its attributes are not changed any more.
type Line struct {
	At time.Time
	// Trace is that of the call; the zero ID: it has none.
	Trace trace.TraceID
	Attrs []slog.Attr
}

// Exporter exports lines while Run runs.
type Exporter struct {
	// immutable
	sender otlp.Sender[Line, sdklog.Record]
	logger log.Logger
	queue  chan Line

	made sdklog.Record // of Run: what the logger has made of a line

	dropped atomic.Uint64
}

var _ sdklog.Processor = (*Exporter)(nil)

// New returns an exporter that has nothing to export yet.
func New(o Options) (*Exporter, error) {
	if o.Client == nil || o.Log == nil {
		return nil, errors.New("logs: no client or no log")
	}
	r, err := otlp.Resource(o.Node)
	if err != nil {
		return nil, err
	}
	e := &Exporter{queue: make(chan Line, otlp.MaxQueued)}
	e.logger = sdklog.NewLoggerProvider(sdklog.WithResource(r), sdklog.WithProcessor(e)).Logger("fairlead.dev/fairlead")
	e.sender.What, e.sender.Log, e.sender.Append = "lines of the access log", o.Log, e.take
	e.sender.Send, e.sender.Stop = o.Client.Export, o.Client.Shutdown
	return e, nil
}

// Stats returns what has become of the lines so far.
func (e *Exporter) Stats() otlp.Stats { return e.sender.Stats(e.dropped.Load()) }

// Line takes a line. It never waits.
func (e *Exporter) Line(l Line) {
	select {
	case e.queue <- l:
	default:
		e.dropped.Add(1)
	}
}

// Run sends lines until ctx ends, and then those still queued, for a moment.
func (e *Exporter) Run(ctx context.Context) error { return e.sender.Run(ctx, e.queue) }

// take appends the record of a line. Only the SDK's logger makes records: it hands this one to OnEmit before Emit returns.
func (e *Exporter) take(to []sdklog.Record, l Line) []sdklog.Record {
	var r log.Record
	r.SetTimestamp(l.At)
	r.SetEventName("fairlead.call")
	r.SetSeverity(log.SeverityInfo)
	r.SetSeverityText("INFO")
	r.SetBody(attribute.StringValue("call"))
	for _, a := range l.Attrs {
		r.AddAttributes(attribute.KeyValue{Key: attribute.Key(a.Key), Value: valueOf(a.Value)})
	}
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: l.Trace}))
	e.logger.Emit(ctx, r)
	to = append(to, e.made)
	e.made = sdklog.Record{}
	return to
}

// OnEmit implements sdklog.Processor.
func (e *Exporter) OnEmit(_ context.Context, r *sdklog.Record) error {
	e.made = r.Clone()
	return nil
}

// Enabled implements sdklog.Processor.
func (e *Exporter) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

// Shutdown implements sdklog.Processor: Run ends what there is.
func (e *Exporter) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdklog.Processor.
func (e *Exporter) ForceFlush(context.Context) error { return nil }

// valueOf is a value as OTLP has it. What is more than one value becomes what it is in the log, with its JSON names.
func valueOf(v slog.Value) attribute.Value {
	switch v = v.Resolve(); v.Kind() {
	case slog.KindBool:
		return attribute.BoolValue(v.Bool())
	case slog.KindInt64:
		return attribute.Int64Value(v.Int64())
	case slog.KindAny:
		encoded, err := json.Marshal(v.Any())
		var of any
		if err != nil || json.Unmarshal(encoded, &of) != nil {
			return text(fmt.Sprint(v.Any()))
		}
		return decoded(of)
	default:
		return text(v.String())
	}
}

// text is what a client has sent, perhaps: protobuf refuses what is no UTF-8, and with it the whole batch.
func text(s string) attribute.Value { return attribute.StringValue(strings.ToValidUTF8(s, "\uFFFD")) }

func decoded(v any) attribute.Value {
	switch v := v.(type) {
	case bool:
		return attribute.BoolValue(v)
	case float64: // all numbers of the log's values are small integers
		return attribute.Int64Value(int64(v))
	case []any:
		out := make([]attribute.Value, len(v))
		for i := range v {
			out[i] = decoded(v[i])
		}
		return attribute.SliceValue(out...)
	case map[string]any:
		out := make([]attribute.KeyValue, 0, len(v))
		for key, of := range v {
			out = append(out, attribute.KeyValue{Key: attribute.Key(key), Value: decoded(of)})
		}
		return attribute.MapValue(out...)
	}
	return text(fmt.Sprint(v))
}
