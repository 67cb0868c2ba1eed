package otlp

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxQueued of what is to be exported wait; more are dropped.
	MaxQueued = 2048
	// MaxBatch is after how many records a batch is sent.
	MaxBatch = 512
	// maxDelay is how long a record waits for others to be sent with.
	maxDelay = time.Second
	// grace is how long a stop waits for what has not been sent yet.
	grace = 5 * time.Second
	// quiet is how long nothing more is logged of failures to export.
	quiet = 5 * time.Minute
)

// Stats counts records, each as one of these.
type Stats struct {
	// Exported: a collector has them.
	Exported uint64
	// Dropped: too many waited.
	Dropped uint64
	// Failed: the collector could not be reached in time, or refused them.
	Failed uint64
}

// Sender sends records of type R, made of what comes in a queue of type Q, in batches. Its exported fields are not changed once it runs.
type Sender[Q, R any] struct {
	// What is sent, in the plural, for Log, which is for operators.
	What string
	Log  *slog.Logger
	// Append appends the records of what has come.
	Append func(to []R, q Q) []R
	// Start is called before and Stop after all else; nil: there is nothing to do.
	Start, Stop func(ctx context.Context) error
	// Send sends a batch, which it does not keep. It must end in bounded time.
	Send func(ctx context.Context, batch []R) error

	// of Run
	batch    []R
	reported time.Time // when a failure was last logged

	// atomic
	exported, failed atomic.Uint64
}

// Stats returns what has become of the records so far. Dropped are those that whoever fills the queue has counted.
func (s *Sender[Q, R]) Stats(dropped uint64) Stats {
	return Stats{Exported: s.exported.Load(), Dropped: dropped, Failed: s.failed.Load()}
}

// Run sends what comes until ctx ends, and then what is still queued, for a moment.
func (s *Sender[Q, R]) Run(ctx context.Context, queue <-chan Q) error {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { cutLate(ctx, ended, cut) })
	defer watch.Wait()
	defer close(ended)
	if s.Start != nil {
		if err := s.Start(sending); err != nil {
			return err
		}
	}
	s.work(ctx, sending, queue)
	if s.Stop != nil {
		if err := s.Stop(sending); err != nil && sending.Err() == nil { // that it was cut short is no failure of the agent
			return err
		}
	}
	return nil
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

// work collects batches and sends them until ctx ends and nothing is left.
func (s *Sender[Q, R]) work(ctx, sending context.Context, queue <-chan Q) {
	due := time.NewTimer(maxDelay)
	defer due.Stop()
	for {
		select {
		case q := <-queue:
			if len(s.batch) == 0 {
				due.Reset(maxDelay)
			}
			s.take(sending, q)
		case <-due.C:
			s.send(sending)
		case <-ctx.Done():
			for len(queue) > 0 {
				s.take(sending, <-queue)
			}
			s.send(sending)
			return
		}
	}
}

// take adds what has come to the batch, and sends that when it is large enough.
func (s *Sender[Q, R]) take(ctx context.Context, q Q) {
	if s.batch = s.Append(s.batch, q); len(s.batch) >= MaxBatch {
		s.send(ctx)
	}
}

// send sends the batch.
func (s *Sender[Q, R]) send(ctx context.Context) {
	n := uint64(len(s.batch))
	if n == 0 {
		return
	}
	err := s.Send(ctx, s.batch)
	clear(s.batch)
	s.batch = s.batch[:0]
	if err == nil {
		s.exported.Add(n)
		return
	}
	s.failed.Add(n)
	if now := time.Now(); now.Sub(s.reported) >= quiet {
		s.reported = now
		s.Log.Warn("exporting failed", "what", s.What, "err", err, "records", n)
	}
}
