package subscribe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Reporter draws up reports. Each covers the time since the one before.
type Reporter interface {
	Report() *policy.Report
}

const (
	// maxReports bounds the reports kept for sending: at the default interval the manager's window, which is all it would count.
	maxReports = 12
	// redeliverAfter is the pause before a new report stream when one breaks while the subscription holds.
	redeliverAfter = 5 * time.Second
)

// reportQueue keeps reports until the manager has acknowledged them.
type reportQueue struct {
	wake chan struct{} // size 1: something to send

	instance uint64 // immutable; of this process

	mu sync.Mutex
	// guarded by mu
	sequence uint64
	waiting  []queuedReport // oldest first, at most maxReports
}

type queuedReport struct {
	sequence uint64
	at       time.Time
	body     *policy.Report
}

// newReportQueue draws the instance that tells this process from those before and after it: the manager counts the sequences of each for
// themselves. The sequence starts at the clock for the sake of managers that know no instances and expect it to grow over restarts.
func newReportQueue(now time.Time) *reportQueue {
	return &reportQueue{wake: make(chan struct{}, 1), instance: max(rand.Uint64(), 1), sequence: uint64(max(now.UnixMicro(), 0))}
}

// collect asks for a report every interval, whether or not there is somebody to send it to: a report covers one interval only.
func (o *reportQueue) collect(ctx context.Context, r Reporter, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if body := r.Report(); body != nil {
				o.add(now, body)
			}
		}
	}
}

// add queues a report. The oldest makes room when there are too many: it would be too old to count.
func (o *reportQueue) add(now time.Time, body *policy.Report) {
	o.mu.Lock()
	o.sequence++
	o.waiting = append(o.waiting, queuedReport{sequence: o.sequence, at: now, body: body})
	if len(o.waiting) > maxReports {
		o.waiting = slices.Delete(o.waiting, 0, 1)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// after returns the reports with a sequence greater than the given one.
func (o *reportQueue) after(sequence uint64) []queuedReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, d := range o.waiting {
		if d.sequence > sequence {
			return append([]queuedReport(nil), o.waiting[i:]...)
		}
	}
	return nil
}

// acknowledged drops the reports up to sequence.
func (o *reportQueue) acknowledged(sequence uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = slices.DeleteFunc(o.waiting, func(d queuedReport) bool { return d.sequence <= sequence })
}

// drop removes one report.
func (o *reportQueue) drop(sequence uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = slices.DeleteFunc(o.waiting, func(d queuedReport) bool { return d.sequence == sequence })
}

// deliver sends reports until ctx ends.
func (o *reportQueue) deliver(ctx context.Context, client wire.Client, log *slog.Logger) {
	for ctx.Err() == nil {
		err := o.stream(ctx, client, log)
		if ctx.Err() != nil {
			return
		}
		log.InfoContext(ctx, "report stream ended", "reason", err)
		pause(ctx, redeliverAfter)
	}
}

// stream sends what is not acknowledged, then what comes, until the stream breaks.
func (o *reportQueue) stream(ctx context.Context, client wire.Client, log *slog.Logger) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := client.Report(ctx)
	if err != nil {
		return err
	}
	wg.Go(func() {
		for {
			sequence, err := stream.RecvAck()
			if err != nil {
				cancel(err)
				return
			}
			o.acknowledged(sequence)
		}
	})
	var sent uint64
	for {
		for _, d := range o.after(sent) {
			err := stream.Send(wire.Report{Instance: o.instance, Sequence: d.sequence, Age: time.Since(d.at), Body: *d.body})
			switch {
			case errors.Is(err, wire.ErrMalformed):
				// It never will be sent, and must not keep the others back.
				log.ErrorContext(ctx, "report dropped", "reason", err)
				o.drop(d.sequence)
			case errors.Is(err, io.EOF):
				<-ctx.Done() // the receiver learns why
				return context.Cause(ctx)
			case err != nil:
				return err
			}
			sent = d.sequence
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-o.wake:
		}
	}
}
