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

// Reporter makes reports. Each covers the time since the one before.
type Reporter interface {
	Report() *policy.Report
}

const (
	// maxReports bounds the reports kept for sending: at the shortest interval they cover the manager's window, which is all it would count.
	maxReports = 12
	// redeliverAfter is the pause before a new report stream when one breaks while the subscription holds.
	redeliverAfter = 5 * time.Second
	// lastReports bounds how long a stop waits until the manager has acknowledged what it has not been sent yet.
	lastReports = time.Second
)

// reportQueue keeps reports until the manager has acknowledged them.
type reportQueue struct {
	wake     chan struct{}      // size 1: something to send
	interval chan time.Duration // size 1: the interval that the manager asked for last
	last     chan struct{}      // closed once the last report is among those that wait
	fewer    chan struct{}      // size 1: some were acknowledged

	instance uint64            // immutable; of this process
	flows    func(wanted bool) // immutable; nil: nobody wants to know

	mu sync.Mutex
	// guarded by mu
	sequence uint64
	waiting  []queuedReport // oldest first, at most maxReports
	streams  bool           // there is a stream that sends them
}

type queuedReport struct {
	sequence uint64
	at       time.Time
	covered  time.Duration // since the report before
	body     *policy.Report
}

// newReportQueue chooses the instance that distinguishes this process from those before and after it: the manager counts the sequences of each
// separately. The sequence starts at the clock for the sake of managers that know no instances and expect it to grow over restarts.
func newReportQueue(now time.Time, flows func(wanted bool)) *reportQueue {
	return &reportQueue{
		flows: flows,
		wake:  make(chan struct{}, 1), interval: make(chan time.Duration, 1), instance: max(rand.Uint64(), 1), sequence: uint64(max(now.UnixMicro(), 0)),
		last: make(chan struct{}), fewer: make(chan struct{}, 1),
	}
}

// collect asks for a report every interval, whether or not there is a manager to send it to: a report covers one interval only. When ctx ends it asks for the last.
func (o *reportQueue) collect(ctx context.Context, r Reporter, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := time.Now()
	report := func(now time.Time) {
		if body := r.Report(); body != nil {
			o.add(queuedReport{at: now, covered: now.Sub(last), body: body})
		}
		last = now
	}
	for {
		select {
		case <-ctx.Done():
			report(time.Now())
			close(o.last)
			return
		case next := <-o.interval:
			if next != interval {
				interval = next
				ticker.Reset(interval)
			}
		case now := <-ticker.C:
			report(now)
		}
	}
}

// add queues a report. The oldest is dropped when there are too many: it would be too old to count.
func (o *reportQueue) add(r queuedReport) {
	o.mu.Lock()
	o.sequence++
	r.sequence = o.sequence
	o.waiting = append(o.waiting, r)
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

// acknowledged drops the reports up to the acknowledged sequence, and passes on the interval that the manager asks for. It is for one goroutine.
func (o *reportQueue) acknowledged(a wire.ReportAck) {
	o.mu.Lock()
	o.waiting = slices.DeleteFunc(o.waiting, func(d queuedReport) bool { return d.sequence <= a.Sequence })
	o.mu.Unlock()
	select {
	case o.fewer <- struct{}{}:
	default:
	}
	if o.flows != nil {
		o.flows(a.TakesFlows)
	}
	if a.Interval == 0 {
		return
	}
	select {
	case <-o.interval:
	default:
	}
	o.interval <- a.Interval
}

// drop removes one report.
func (o *reportQueue) drop(sequence uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = slices.DeleteFunc(o.waiting, func(d queuedReport) bool { return d.sequence == sequence })
}

// finish waits until the manager has acknowledged all reports, the last one too: for a moment, and only where there is a stream to it.
func (o *reportQueue) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastReports)
	defer cancel()
	select {
	case <-o.last:
	case <-ctx.Done():
	}
	for o.sends() {
		select {
		case <-o.fewer:
		case <-ctx.Done():
			return
		}
	}
}

// sends reports whether there is something to send, and a stream that sends it.
func (o *reportQueue) sends() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.streams && len(o.waiting) > 0
}

func (o *reportQueue) streaming(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.streams = on
}

// deliver sends reports until ctx ends.
func (o *reportQueue) deliver(ctx context.Context, client wire.Client, log *slog.Logger) {
	for ctx.Err() == nil {
		err := o.stream(ctx, client, log)
		if ctx.Err() != nil {
			return
		}
		log.InfoContext(ctx, "report stream ended", "err", err)
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
	o.streaming(true)
	defer o.streaming(false)
	wg.Go(func() {
		for {
			ack, err := stream.RecvAck()
			if err != nil {
				cancel(err)
				return
			}
			o.acknowledged(ack)
		}
	})
	for sent := uint64(0); ; {
		for _, r := range o.after(sent) {
			err := o.send(ctx, stream, r, log)
			if errors.Is(err, io.EOF) {
				<-ctx.Done() // the receiver gets the cause
				return context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			sent = r.sequence
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-o.wake:
		}
	}
}

// send sends a report. One that cannot be encoded is dropped: it never could be, and must not hold up the others.
func (o *reportQueue) send(ctx context.Context, stream wire.ReportClient, r queuedReport, log *slog.Logger) error {
	err := stream.Send(wire.Report{
		Instance: o.instance, Sequence: r.sequence, Age: time.Since(r.at), Covered: r.covered, Body: *r.body,
	})
	if errors.Is(err, wire.ErrMalformed) {
		log.ErrorContext(ctx, "report dropped", "err", err)
		o.drop(r.sequence)
		return nil
	}
	return err
}
