// Package spans exports the spans of traced calls to an OpenTelemetry collector (OTLP). It must not hold up a call: what cannot be sent in time is
// dropped and counted.
package spans

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

const (
	// maxQueued calls wait to be exported, some 3 KiB each at most; the spans of more are dropped.
	maxQueued = 2048
	// maxBatch is after how many spans a batch is sent.
	maxBatch = 512
	// maxDelay is how long a span waits for others to be sent with.
	maxDelay = time.Second
	// grace is how long a stop waits for what has not been sent yet.
	grace = 5 * time.Second
	// quiet is how long nothing more is logged of failures to export.
	quiet = 5 * time.Minute
)

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

// Stats counts spans, each as one of these.
type Stats struct {
	// Exported: a collector has them.
	Exported uint64
	// Dropped: too many waited.
	Dropped uint64
	// Failed: the collector could not be reached in time, or refused them.
	Failed uint64
}

// Exporter exports spans while Run runs. The path of a call copies a few fields into a queue.
type Exporter struct {
	// immutable
	client   otlptrace.Client
	log      *slog.Logger
	pod      func(uid string) (name, workload string)
	resource *resourcepb.Resource
	queue    chan *record
	spare    sync.Pool

	// of Run
	batch    []*tracepb.Span
	reported time.Time // when a failure was last logged

	// atomic
	exported, dropped, failed atomic.Uint64
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
	return &Exporter{
		client: o.Client, log: o.Log, pod: o.Pod, resource: r,
		queue: make(chan *record, maxQueued), spare: sync.Pool{New: func() any { return new(record) }},
	}, nil
}

// Stats returns what has become of the spans so far.
func (e *Exporter) Stats() Stats {
	return Stats{Exported: e.exported.Load(), Dropped: e.dropped.Load(), Failed: e.failed.Load()}
}

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
func (e *Exporter) Run(ctx context.Context) error {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { cutLate(ctx, ended, cut) })
	defer watch.Wait()
	defer close(ended)
	if err := e.client.Start(sending); err != nil {
		return err
	}
	e.work(ctx, sending)
	return e.stop(sending)
}

// cutLate cuts the sending off when it has not ended in time after ctx.
func cutLate(ctx context.Context, ended <-chan struct{}, cut func()) {
	defer cut()
	select {
	case <-ctx.Done():
	case <-ended:
		return
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-late.C:
	case <-ended:
	}
}

// stop closes what the client has open. That it was cut short is no failure of the agent.
func (e *Exporter) stop(ctx context.Context) error {
	if err := e.client.Stop(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// work collects batches and sends them until ctx ends and nothing is left.
func (e *Exporter) work(ctx, sending context.Context) {
	due := time.NewTimer(maxDelay)
	defer due.Stop()
	for {
		select {
		case r := <-e.queue:
			if len(e.batch) == 0 {
				due.Reset(maxDelay)
			}
			e.take(sending, r)
		case <-due.C:
			e.send(sending)
		case <-ctx.Done():
			for len(e.queue) > 0 {
				e.take(sending, <-e.queue)
			}
			e.send(sending)
			return
		}
	}
}

// take adds the spans of a call to the batch, and sends that when it is large enough.
func (e *Exporter) take(ctx context.Context, r *record) {
	e.batch = e.appendSpans(e.batch, r)
	r.forget()
	e.spare.Put(r)
	if len(e.batch) >= maxBatch {
		e.send(ctx)
	}
}

// send sends the batch.
func (e *Exporter) send(ctx context.Context) {
	n := uint64(len(e.batch))
	if n == 0 {
		return
	}
	err := e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{{
		Resource: e.resource, ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope, Spans: e.batch}}, SchemaUrl: schema,
	}})
	clear(e.batch)
	e.batch = e.batch[:0]
	if err == nil {
		e.exported.Add(n)
		return
	}
	e.failed.Add(n)
	if now := time.Now(); now.Sub(e.reported) >= quiet {
		e.reported = now
		e.log.Warn("exporting spans failed", "err", err, "spans", n)
	}
}
