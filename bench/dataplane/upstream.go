package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// The upstream is written by hand so that it costs as little as possible: it reads a head, and answers from memory.
var (
	answerKB   = answer("200 OK", 1024)
	answerFail = answer("503 Service Unavailable", 32)
	answerMB   = answer("200 OK", 1<<20)
	// answerUpgrade is all that is said on a WebSocket here.
	answerUpgrade = []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
)

func answer(status string, size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", status, size)
	return append([]byte(head), bytes.Repeat([]byte("x"), size)...)
}

// serveUpstream is the server; mib is how many MiB its bulk answers have.
func serveUpstream(mib string) error {
	n, err := strconv.Atoi(mib)
	if err != nil {
		return err
	}
	bulkSize = n << 20
	ports := make(map[uint16]front)
	for _, f := range fronts {
		ports[f.port], ports[f.back] = f, f
	}
	errs := make(chan error)
	for port, f := range ports {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", upstreamIP, port))
		if err == nil && f == tlsFront {
			l, err = overTLS(l)
		}
		if err != nil {
			return err
		}
		go func() { errs <- serveFront(l, f.back == bulkFront.back) }()
	}
	return <-errs
}

func serveFront(l net.Listener, bulk bool) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go answerAll(c, bulk)
	}
}

var calls atomic.Uint64

// answerAll serves one connection: requests without a body, or with one whose length is announced, never pipelined. bulk: every answer is
// bulkSize long, but to one that is as long itself.
func answerAll(c net.Conn, bulk bool) {
	defer c.Close()
	buf := make([]byte, 4096)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		if bytes.HasPrefix(buf[:n], []byte("PRI ")) {
			answerMultiplexed(c, io.MultiReader(bytes.NewReader(buf[:n]), c), bulk)
			return
		}
		if bulk && bytes.HasPrefix(buf[:n], []byte("POST ")) && bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
			if err := takeBulk(c, buf[:n]); err != nil {
				return
			}
			n = 0
			continue
		}
		if !whole(buf[:n]) {
			continue
		}
		if bulk {
			if err := writeBulk(c); err != nil {
				return
			}
			n = 0
			continue
		}
		out := answerTo(buf)
		if _, err := c.Write(out); err != nil {
			return
		}
		n = 0
	}
}

// answerTo is what a request gets.
func answerTo(request []byte) []byte {
	switch {
	case bytes.HasPrefix(request, []byte("GET /websocket")):
		return answerUpgrade
	case bytes.HasPrefix(request, []byte("GET /fail10")) && calls.Add(1)%10 == 0:
		return answerFail
	case bytes.HasPrefix(request, []byte("GET /mb")):
		return answerMB
	}
	return answerKB
}

// whole reports whether a request has arrived to its end.
func whole(b []byte) bool {
	if b[0] != 'P' {
		return bytes.HasSuffix(b, []byte("\r\n\r\n"))
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	length, err := contentLength(b[:end])
	return err != nil || len(b) >= end+4+length
}

// serveNetHTTP is the class of proxies built on the standard library, with a tuned transport.
func serveNetHTTP(port string) error {
	target, err := url.Parse("http://" + plainFront.server().String())
	if err != nil {
		return err
	}
	p := httputil.NewSingleHostReverseProxy(target)
	p.Transport = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConns:        20000,
		MaxIdleConnsPerHost: 20000, IdleConnTimeout: time.Minute, DisableCompression: true, ResponseHeaderTimeout: 30 * time.Second,
	}
	p.BufferPool = newBufferPool()
	serveMallocs(port)
	return (&http.Server{Addr: "127.0.0.1:" + port, Handler: p, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

type bufferPool struct{ free chan []byte }

func newBufferPool() *bufferPool { return &bufferPool{free: make(chan []byte, 256)} }

// Get and Put implement httputil.BufferPool.
func (p *bufferPool) Get() []byte {
	select {
	case b := <-p.free:
		return b
	default:
		return make([]byte, 32<<10)
	}
}

// Put gives a buffer back.
func (p *bufferPool) Put(b []byte) {
	select {
	case p.free <- b:
	default:
	}
}

// drain reads exactly n bytes.
func drain(r io.Reader, buf []byte, n int) error {
	for n > 0 {
		m, err := r.Read(buf[:min(n, len(buf))])
		if err != nil {
			return err
		}
		n -= m
	}
	return nil
}
