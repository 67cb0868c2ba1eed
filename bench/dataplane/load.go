package main

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what one measurement does.
type load struct {
	front    front // the zero front is plainFront
	path     string
	body     int  // of every request; 0: GET
	upload   bool // every request has a body of bulkSize
	conns    int
	streams  int  // of HTTP/2 at a time on each connection; 0: HTTP/1.1
	grpc     bool // with streams: calls of gRPC, of one message each way
	upgrade  bool // to WebSocket
	pods     int  // that the connections come from in turn; 0: the host itself
	duration time.Duration
	rate     float64 // calls per second over all connections, as many at once as there are streams; 0: as fast as they go
	fresh    bool    // a new connection for every call
	warm     time.Duration
	// begin and finish run when every connection stands and is warm, and when the last call has ended and all still stand.
	begin, finish func() error
}

// loadResult is what came of it.
type loadResult struct {
	calls, failed uint64
	elapsed       time.Duration
	latencies     samples
	slices        []samples // of the calls that were due in the same tenth of a second
}

// samples are latencies in ascending order.
type samples []time.Duration

func (s samples) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// slice is the length of loadResult.slices.
const slice = 100 * time.Millisecond

// sliceQuantile is the median over all slices of a quantile of each.
func (r loadResult) sliceQuantile(q float64) time.Duration {
	var each samples
	for _, s := range r.slices {
		each = append(each, s.quantile(q))
	}
	slices.Sort(each)
	return each.quantile(0.5)
}

// run makes the calls: closed loop, or at a constant rate. At a constant rate a call's latency counts from the moment it was
// due when the connection was still busy then, so a stall is charged to every call that it delayed (no coordinated omission).
func (l load) run() (loadResult, error) {
	var calls, failed atomic.Uint64
	clients := make([]*client, l.conns)
	for i := range clients {
		clients[i] = newClient(l, i, &calls, &failed)
	}
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err := together(clients, func(c *client) error { return c.warmUp(l.warm) }); err != nil {
		return loadResult{}, err
	}
	calls.Store(0)
	failed.Store(0)
	if err := step(l.begin); err != nil {
		return loadResult{}, err
	}
	start := time.Now()
	err := together(clients, func(c *client) error { return c.run(start) })
	res := loadResult{calls: calls.Load(), failed: failed.Load(), elapsed: time.Since(start)}
	if err == nil {
		err = step(l.finish)
	}
	res.collect(clients, l.duration)
	return res, err
}

// collect takes the latencies of all clients.
func (r *loadResult) collect(clients []*client, duration time.Duration) {
	r.slices = make([]samples, max(1, duration/slice))
	for _, c := range clients {
		for _, o := range c.observed {
			r.latencies = append(r.latencies, o.took)
			i := min(int(o.at/slice), len(r.slices)-1)
			r.slices[i] = append(r.slices[i], o.took)
		}
	}
	slices.Sort(r.latencies)
	for _, s := range r.slices {
		slices.Sort(s)
	}
}

func step(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

// together runs f for all clients at once and returns the first error.
func together(clients []*client, f func(*client) error) error {
	var group errgroup.Group
	for _, c := range clients {
		group.Go(func() error { return f(c) })
	}
	return group.Wait()
}

// idle opens connections, makes one call on each and leaves them open; the returned function closes them.
func idle(l load, n int) (func(), error) {
	var calls, failed atomic.Uint64
	clients := make([]*client, 0, n)
	closeAll := func() {
		for _, c := range clients {
			c.close()
		}
	}
	shared := make([]byte, 16<<10)
	for i := range n {
		c := newClient(l, i, &calls, &failed)
		c.buf = shared
		clients = append(clients, c)
		ok, err := c.call()
		if err == nil && !ok {
			err = errors.New("the first call on a connection failed")
		}
		if err != nil {
			closeAll()
			return nil, err
		}
	}
	return closeAll, nil
}
