package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is what one measurement does.
type load struct {
	path     string
	conns    int
	duration time.Duration
	rate     float64 // calls per second over all connections; 0: as fast as they go
	fresh    bool    // a new connection for every call
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
	var (
		wg            sync.WaitGroup
		mu            sync.Mutex
		res           loadResult
		firstErr      error
		calls, failed atomic.Uint64
	)
	start := time.Now()
	end := start.Add(l.duration)
	for i := range l.conns {
		wg.Go(func() {
			c := client{load: l, index: i, start: start, end: end, calls: &calls, failed: &failed}
			err := c.run()
			mu.Lock()
			defer mu.Unlock()
			res.latencies = append(res.latencies, c.latencies...)
			if err != nil && firstErr == nil {
				firstErr = err
			}
		})
	}
	wg.Wait()
	res.calls, res.failed, res.elapsed = calls.Load(), failed.Load(), time.Since(start)
	slices.Sort(res.latencies)
	return res, firstErr
}

// client is one connection's worth of load.
type client struct {
	load
	index         int
	start, end    time.Time
	conn          net.Conn
	request       []byte
	buf           []byte
	calls, failed *atomic.Uint64
	latencies     []time.Duration
}

func (c *client) run() error {
	c.request = []byte("GET " + c.path + " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n")
	c.buf = make([]byte, 16<<10)
	c.latencies = make([]time.Duration, 0, 1<<14)
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	var every time.Duration
	due := c.start
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
		if from.After(c.end) {
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
			c.conn.Close()
			c.conn = nil
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
	clients := make([]*client, 0, n)
	closeAll := func() {
		for _, c := range clients {
			if c.conn != nil {
				c.conn.Close()
			}
		}
	}
	var calls, failed atomic.Uint64
	shared := make([]byte, 16<<10)
	for i := range n {
		c := &client{load: load{path: "/"}, index: i, calls: &calls, failed: &failed, buf: shared}
		c.request = []byte("GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n")
		clients = append(clients, c)
		if _, err := c.call(); err != nil {
			closeAll()
			return nil, err
		}
	}
	return closeAll, nil
}
