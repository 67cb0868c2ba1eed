package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what one measurement does.
type load struct {
	path     string
	conns    int
	duration time.Duration
	rate     float64 // calls per second over all connections; 0: as fast as they go
	fresh    bool    // a new connection for every call
	warm     time.Duration
	// begin and finish run when every connection stands and is warm, and when the last call has ended and all still stand.
	begin, finish func() error
}

// loadResult is what came of it.
type loadResult struct {
	calls, failed uint64
	elapsed       time.Duration
	latencies     []time.Duration // sorted
}

func (r loadResult) quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(int(q*float64(len(r.latencies))), len(r.latencies)-1)]
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
	for _, c := range clients {
		res.latencies = append(res.latencies, c.latencies...)
	}
	slices.Sort(res.latencies)
	return res, err
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

// client is one connection's worth of load.
type client struct {
	load
	index         int
	conn          net.Conn
	request       []byte
	buf           []byte
	calls, failed *atomic.Uint64
	latencies     []time.Duration
}

func newClient(l load, index int, calls, failed *atomic.Uint64) *client {
	return &client{
		load: l, index: index, calls: calls, failed: failed,
		request: []byte("GET " + l.path + " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n"),
	}
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// warmUp makes calls for a while, at least one.
func (c *client) warmUp(d time.Duration) error {
	c.buf, c.latencies = make([]byte, 16<<10), make([]time.Duration, 0, 1<<14)
	for end := time.Now().Add(d); ; {
		if _, err := c.call(); err != nil || !time.Now().Before(end) {
			return err
		}
	}
}

// run makes calls from start on, for as long as the load lasts.
func (c *client) run(start time.Time) error {
	end := start.Add(c.duration)
	var every time.Duration
	due := start
	if c.rate > 0 {
		every = time.Duration(float64(time.Second) * float64(c.conns) / c.rate)
		due = due.Add(every * time.Duration(c.index) / time.Duration(c.conns))
	}
	for {
		now := time.Now()
		from := now
		if every > 0 {
			if now.Before(due) {
				time.Sleep(due.Sub(now))
				from = time.Now()
			} else {
				from = due
			}
			due = due.Add(every)
		}
		if from.After(end) {
			return nil
		}
		ok, err := c.call()
		if err != nil {
			return err
		}
		c.latencies = append(c.latencies, time.Since(from))
		c.calls.Add(1)
		if !ok {
			c.failed.Add(1)
		}
	}
}

// call makes one call and reports whether its status was 200.
func (c *client) call() (bool, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", upstreamAddrs[0])
		if err != nil {
			return false, err
		}
		c.conn = conn
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return false, err
	}
	n := 0
	for {
		m, err := c.conn.Read(c.buf[n:])
		if err != nil {
			return false, fmt.Errorf("connection %d after %d calls: %w", c.index, c.calls.Load(), err)
		}
		n += m
		end := bytes.Index(c.buf[:n], []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		length, err := contentLength(c.buf[:end])
		if err != nil {
			return false, err
		}
		if err := drain(c.conn, c.buf, end+4+length-n); err != nil {
			return false, err
		}
		ok := bytes.HasPrefix(c.buf, []byte("HTTP/1.1 200")) || n > 12 && bytes.Equal(c.buf[9:12], []byte("200"))
		if c.fresh {
			c.close()
		}
		return ok, nil
	}
}

func contentLength(head []byte) (int, error) {
	for _, key := range [][]byte{[]byte("Content-Length: "), []byte("content-length: ")} {
		if i := bytes.Index(head, key); i >= 0 {
			v := head[i+len(key):]
			if j := bytes.IndexByte(v, '\r'); j >= 0 {
				v = v[:j]
			}
			return strconv.Atoi(string(v))
		}
	}
	return 0, errors.New("response without a Content-Length")
}

// idle opens connections, makes one call on each and leaves them open; the returned function closes them.
func idle(n int) (func(), error) {
	var calls, failed atomic.Uint64
	clients := make([]*client, 0, n)
	closeAll := func() {
		for _, c := range clients {
			c.close()
		}
	}
	shared := make([]byte, 16<<10)
	for i := range n {
		c := newClient(load{path: "/"}, i, &calls, &failed)
		c.buf = shared
		clients = append(clients, c)
		if _, err := c.call(); err != nil {
			closeAll()
			return nil, err
		}
	}
	return closeAll, nil
}
