package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/websocket"
	"google.golang.org/grpc/metadata"
)

func TestOnlyTheFirstCallsWait(t *testing.T) {
	q := map[string][]string{"delay": {"1h"}, "delayFirst": {"2"}}
	for n, want := range []time.Duration{time.Hour, time.Hour, 0} {
		if got := delayOf(q, n); got != want {
			t.Errorf("call %d waits %v, want %v", n, got, want)
		}
	}
	if got := delayOf(map[string][]string{"delay": {"1h"}}, 7); got != time.Hour {
		t.Errorf("without delayFirst: %v", got)
	}
}

func TestBulk(t *testing.T) {
	srv := httptest.NewServer(newUpstream())
	defer srv.Close()
	var got [2][]byte
	for i := range got {
		res, err := http.Get(srv.URL + "/_bulk?bytes=100000")
		if err != nil {
			t.Fatal(err)
		}
		got[i], _ = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if len(got[0]) != 100000 || !bytes.Equal(got[0], got[1]) {
		t.Fatalf("want the same 100000 bytes twice, got %d and %d", len(got[0]), len(got[1]))
	}
	res, err := http.Post(srv.URL+"/_bulk", "", bytes.NewReader(got[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	sum := sha256.Sum256(got[0])
	if answer, _ := io.ReadAll(res.Body); strings.TrimSpace(string(answer)) != hex.EncodeToString(sum[:]) {
		t.Errorf("got %q, want the sum of what was sent", answer)
	}
}

func TestWebsocketsEchoMessages(t *testing.T) {
	srv := httptest.NewServer(newUpstream())
	defer srv.Close()
	c, err := websocket.Dial("ws"+strings.TrimPrefix(srv.URL, "http")+"/chat", "", srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got string
	if err := websocket.Message.Send(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := websocket.Message.Receive(c, &got); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestGRPCFailsAsAskedFor(t *testing.T) {
	u, l := newUpstream(), listener(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go u.serveGRPC(ctx, l)
	var out strings.Builder
	args := []string{"-target", l.Addr().String(), "-n", "3", "-metadata", "key=k", "-metadata", "fail-first=2"}
	if err := grpcCall(ctx, args, &out); err != nil || out.String() != "UNAVAILABLE\nUNAVAILABLE\nOK\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	u.mu.Lock()
	if s := u.seen["k"]; s.Requests != 3 || s.Failed != 2 {
		t.Errorf("counted %+v", s)
	}
	u.mu.Unlock()
	out.Reset()
	if err := grpcCall(ctx, []string{"-target", l.Addr().String(), "-timeout", "50ms", "-metadata", "delay=1h"}, &out); err != nil || out.String() != "DEADLINE_EXCEEDED\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestGRPCStreamsAsManyMessagesAsAskedFor(t *testing.T) {
	u, l := newUpstream(), listener(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go u.serveGRPC(ctx, l)
	var out strings.Builder
	args := []string{"-target", l.Addr().String(), "-n", "2", "-timeout", "1h", "-metadata", "key=k", "-metadata", "fail-first=1", "-metadata", "messages=5"}
	if err := grpcCall(ctx, args, &out); err != nil || out.String() != "UNAVAILABLE\nOK\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if left, err := time.ParseDuration(first(metadata.MD(u.seen["k"].LastHeader), "time-left")); err != nil || left <= 0 || left > time.Hour {
		t.Errorf("time left %v, %v", left, err)
	}
}

// TestRawReadsWhileItSends: a server that answers before it has everything is heard.
func TestRawReadsWhileItSends(t *testing.T) {
	l := listener(t)
	go echoAll(l)
	in, w := io.Pipe()
	r, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- raw([]string{"-addr", l.Addr().String()}, in, out) }()
	b := make([]byte, 4)
	for _, said := range []string{"ping", "pong"} {
		_, _ = io.WriteString(w, said)
		if _, err := io.ReadFull(r, b); err != nil || string(b) != said {
			t.Fatalf("heard %q, %v", b, err)
		}
	}
	_ = w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMailIsCounted(t *testing.T) {
	u, l := newUpstream(), listener(t)
	go u.serveMail(l)
	for range 2 {
		if err := smtp.SendMail(l.Addr().String(), nil, "a@example.com", []string{"b@example.com"}, []byte("Subject: hello\r\n\r\nhello\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if got := u.seen["b@example.com"].Requests; got != 2 {
		t.Errorf("counted %d messages, want 2", got)
	}
}

// TestHTTP2 has the server speak HTTP/2 with prior knowledge, since the client does.
func TestHTTP2(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	o := &callOptions{url: srv.URL, method: http.MethodGet, n: 2, concurrency: 1, timeout: 10 * time.Second, http2: true}
	if s := summarise(o.run(t.Context())); s.OK != 2 || s.Protocols["HTTP/2.0"] != 2 {
		t.Errorf("want two calls of HTTP/2 that succeed, got %+v", s)
	}
}

// TestRefusedStreams has a client whose every other call is refused: Go's own sends what was refused again.
func TestRefusedStreams(t *testing.T) {
	u, l := newUpstream(), listener(t)
	go u.serveRefusals(l)
	for _, how := range []string{"refuse", "goaway"} {
		o := &callOptions{url: "http://" + l.Addr().String() + "/any/" + how + "-1-" + how, method: http.MethodPost, body: "pay", n: 2, concurrency: 1, timeout: 10 * time.Second, http2: true}
		if s := summarise(o.run(t.Context())); s.OK != 2 || s.LastBody != "pay" {
			t.Errorf("%s: want two calls that succeed, got %+v", how, s)
		}
		u.mu.Lock()
		if got := u.seen[how]; got.Requests != 3 || got.Failed != 1 {
			t.Errorf("%s: counted %+v, want 3 requests and 1 of them refused", how, got)
		}
		u.mu.Unlock()
	}
}

// TestTunnels has one that the client ends, and one that goes with its connection.
func TestTunnels(t *testing.T) {
	u, l := newUpstream(), listener(t)
	go u.serveRefusals(l)
	for _, ends := range []bool{true, false} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		key := strconv.FormatBool(ends)
		talk := &refused{frames: http2.NewFramer(c, c)}
		if _, err := io.WriteString(c, http2.ClientPreface); err != nil || talk.frames.WriteSettings() != nil ||
			!talk.headers(1, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/refuse-0-"+key) ||
			talk.frames.WriteData(1, ends, []byte("hello")) != nil {
			t.Fatal("nothing could be sent")
		}
		for heard := false; !heard; {
			f, err := talk.frames.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if d, ok := f.(*http2.DataFrame); ok {
				heard = string(d.Data()) == "hello" && d.StreamEnded() == ends
			}
		}
		open := func() int {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.seen[key].Concurrent
		}
		if ends == (open() == 1) {
			t.Errorf("ended: %v, open: %d", ends, open())
		}
		c.Close()
		for range time.Tick(time.Millisecond) {
			if open() == 0 {
				break
			}
		}
	}
}

func TestInterimResponsesAndTrailersAreCounted(t *testing.T) {
	srv := httptest.NewServer(newUpstream())
	defer srv.Close()
	o := &callOptions{url: srv.URL + "/?hints=1", method: http.MethodGet, n: 2, concurrency: 1, timeout: 10 * time.Second}
	if s := summarise(o.run(t.Context())); s.OK != 2 || s.Interim[http.StatusEarlyHints] != 2 || s.Trailers["the body"] != 2 {
		t.Errorf("want two calls with 103 and a trailer, got %+v", s)
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
