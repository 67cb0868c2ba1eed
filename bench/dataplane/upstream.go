package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// The upstream is written by hand so that it costs as little as possible: it reads a head, and answers from memory.
var (
	answerKB   = answer("200 OK", 1024)
	answerFail = answer("503 Service Unavailable", 32)
	answerMB   = answer("200 OK", 1<<20)
)

func answer(status string, size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", status, size)
	return append([]byte(head), bytes.Repeat([]byte("x"), size)...)
}

func serveUpstream(addrs []string) error {
	errs := make(chan error)
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					errs <- err
					return
				}
				go answerAll(c)
			}
		}()
	}
	return <-errs
}

var calls atomic.Uint64

// answerAll serves one connection: requests without a body, or with one whose length is announced, never pipelined.
func answerAll(c net.Conn) {
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
			answerMultiplexed(c, io.MultiReader(bytes.NewReader(buf[:n]), c))
			return
		}
		if !whole(buf[:n]) {
			continue
		}
		out := answerKB
		switch {
		case bytes.HasPrefix(buf, []byte("GET /fail10")):
			if calls.Add(1)%10 == 0 {
				out = answerFail
			}
		case bytes.HasPrefix(buf, []byte("GET /mb")):
			out = answerMB
		}
		if _, err := c.Write(out); err != nil {
			return
		}
		n = 0
	}
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
	target, err := url.Parse("http://" + upstreamAddrs[1])
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

const haproxyConfig = `
global
  nbthread THREADS
  maxconn 10200
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 5m
  timeout server 2s
  timeout queue 1s
  timeout http-request 10s
  retries 2
  retry-on conn-failure empty-response response-timeout 502 503 504
  option redispatch
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:PORT
  use_backend out2 if { fc_http_major 2 }
  default_backend out
backend out2
  server s1 UPSTREAM proto h2 maxconn 20000 pool-max-conn 20000
backend out
  server s1 UPSTREAM maxconn 20000 pool-max-conn 20000
`

const nginxConfig = `
worker_processes 1;
master_process off;
daemon off;
pid nginx.pid;
error_log stderr error;
worker_rlimit_nofile 20000;
events { worker_connections 19000; }
http {
  access_log off;
  keepalive_requests 100000000;
  upstream out { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:PORT;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    location / {
      proxy_pass http://out; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_connect_timeout 5s; proxy_read_timeout 2s; proxy_next_upstream error timeout http_502 http_503 http_504 non_idempotent; proxy_next_upstream_tries 3;
    }
  }
}
`

func proxyConfig(template string, port, threads int) string {
	return strings.NewReplacer("PORT", fmt.Sprint(port), "UPSTREAM", upstreamAddrs[1], "THREADS", fmt.Sprint(threads)).Replace(template)
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
