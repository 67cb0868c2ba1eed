package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// client is one connection's worth of load.
type client struct {
	load
	index         int
	conn          net.Conn
	request       []byte
	buf           []byte
	calls, failed *atomic.Uint64
	observed      []observation
	// start is when the load began, due when the call under way was.
	start, due time.Time
	h2         *multiplexed
}

// observation is when a call was due, counted from the start, and how long it took from then.
type observation struct{ at, took time.Duration }

func newClient(l load, index int, calls, failed *atomic.Uint64) *client {
	c := &client{load: l, index: index, calls: calls, failed: failed}
	if c.front == (front{}) {
		c.front = plainFront
	}
	method, length := "GET", ""
	if l.body > 0 || l.upload {
		size := l.body
		if l.upload {
			size = bulkSize
		}
		method, length = "POST", fmt.Sprintf("Content-Length: %d\r\n", size)
	}
	if l.upgrade {
		length = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	}
	head := method + " " + l.path + " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n" + length + "\r\n"
	c.request = append([]byte(head), bytes.Repeat([]byte("y"), l.body)...)
	return c
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn, c.h2 = nil, nil
	}
}

// warmUp makes calls for a while, at least one.
func (c *client) warmUp(d time.Duration) error {
	size := 16 << 10
	if c.front.back == bulkFront.back {
		size = 256 << 10
	}
	c.buf, c.observed = make([]byte, size), make([]observation, 0, 1<<14)
	for end := time.Now().Add(d); ; {
		if _, err := c.call(); err != nil || !time.Now().Before(end) {
			return err
		}
	}
}

// run makes calls from start on, for as long as the load lasts.
func (c *client) run(start time.Time) error {
	c.start, c.observed = start, c.observed[:0]
	end := start.Add(c.duration)
	var every time.Duration
	due := start
	atOnce := max(c.streams, 1)
	if c.rate > 0 {
		every = time.Duration(float64(time.Second) * float64(c.conns*atOnce) / c.rate)
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
		c.due = from
		ok, err := c.call()
		if err != nil {
			return err
		}
		if c.streams == 0 {
			c.observe()
		}
		c.calls.Add(uint64(atOnce))
		if !ok {
			c.failed.Add(1)
		}
	}
}

// observe notes that the call under way, or one of its streams, has ended.
func (c *client) observe() {
	c.observed = append(c.observed, observation{at: c.due.Sub(c.start), took: time.Since(c.due)})
}

// call makes one call and reports whether its status was 200.
func (c *client) call() (bool, error) {
	if c.streams > 0 {
		return c.callStreams()
	}
	if err := c.ask(); err != nil {
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
		if c.upgrade {
			return bytes.HasPrefix(c.buf, []byte("HTTP/1.1 101")), nil
		}
		length, err := contentLength(c.buf[:end])
		if err != nil {
			return false, err
		}
		ok := bytes.Equal(c.buf[9:12], []byte("200")) // before the buffer takes the rest of the body
		if err := drain(c.conn, c.buf, end+4+length-n); err != nil {
			return false, err
		}
		if c.fresh {
			c.close()
		}
		return ok, nil
	}
}

// ask sends a request of HTTP/1.1, over a new connection if there is none.
func (c *client) ask() error {
	if c.conn == nil {
		conn, err := c.dial()
		if err != nil {
			return err
		}
		c.conn = conn
	}
	_, err := c.conn.Write(c.request)
	if err == nil && c.upload {
		err = writeParts(c.conn)
	}
	return err
}

// dial connects to the upstream, from the address of the pod that it is the turn of.
func (c *client) dial() (net.Conn, error) {
	var d net.Dialer
	if c.pods > 0 {
		d.LocalAddr = &net.TCPAddr{IP: podAddr(c.index % c.pods)}
	}
	return d.Dial("tcp", c.front.called())
}

// contentLength reads the field of a head; 0 where there is none.
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
	return 0, errors.New("a head without a Content-Length")
}
