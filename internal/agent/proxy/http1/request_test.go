package http1

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
)

func TestRequestHeads(t *testing.T) {
	for name, tc := range map[string]struct {
		in                   string
		method, target, host string
		keepAlive, expect    bool
		class                call.Method
		framing              Framing
		length               int64
	}{
		"origin form":           {"GET /a?b HTTP/1.1\r\nHost: Ex.org:80\r\n\r\n", "GET", "/a?b", "Ex.org:80", true, false, call.Safe, NoBody, 0},
		"absolute form":         {"GET http://b.org/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "http://b.org/x", "b.org", true, false, call.Safe, NoBody, 0},
		"absolute without path": {"GET http://b.org?x HTTP/1.1\r\nHost: b.org\r\n\r\n", "GET", "http://b.org?x", "b.org", true, false, call.Safe, NoBody, 0},
		"absolute with IPv6":    {"GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET", "http://[::1]:80/", "[::1]:80", true, false, call.Safe, NoBody, 0},
		"asterisk":              {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS", "*", "a", true, false, call.Safe, NoBody, 0},
		"authority form":        {"CONNECT b.org:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT", "b.org:443", "b.org:443", true, false, call.Unsafe, NoBody, 0},
		"bytes above ASCII":     {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\nX: \xe4\r\n\r\n", "GET", "/\xc3\xa4", "a", true, false, call.Safe, NoBody, 0},
		"space around the host": {"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET", "/", "a", true, false, call.Safe, NoBody, 0},
		"empty host":            {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "", true, false, call.Safe, NoBody, 0},
		"close":                 {"DELETE / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n", "DELETE", "/", "a", false, false, call.Idempotent, NoBody, 0},
		"HTTP/1.0":              {"HEAD / HTTP/1.0\r\n\r\n", "HEAD", "/", "", false, false, call.Safe, NoBody, 0},
		"HTTP/1.0 keep-alive":   {"TRACE / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "TRACE", "/", "", true, false, call.Safe, NoBody, 0},
		"close wins":            {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET", "/", "", false, false, call.Safe, NoBody, 0},
		"content length":        {"PUT / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 007\r\nExpect: 100-Continue\r\n\r\n", "PUT", "/", "a", true, true, call.Idempotent, ContentLength, 7},
		"largest length":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775799\r\n\r\n", "POST", "/", "a", true, false, call.Unsafe, ContentLength, 9223372036854775799},
		"chunked":               {"PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "PATCH", "/", "a", true, false, call.Unsafe, Chunked, 0},
		"methods have case":     {"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get", "/", "a", true, false, call.Unsafe, NoBody, 0},
		"expectation in 1.0":    {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "POST", "/", "", false, false, call.Unsafe, ContentLength, 1},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := readRequest(t, tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if string(q.Method()) != tc.method || string(q.Target()) != tc.target || string(q.Host()) != tc.host {
				t.Errorf("got %s %s for %q", q.Method(), q.Target(), q.Host())
			}
			if q.KeepAlive != tc.keepAlive || q.Expect100 != tc.expect || q.Class != tc.class || q.Framing != tc.framing || q.Length != tc.length {
				t.Errorf("got %+v", q)
			}
			if string(q.Raw()) != tc.in {
				t.Errorf("raw %q", q.Raw())
			}
		})
	}
}

func TestFieldsAreFoundWithoutCase(t *testing.T) {
	q, err := readRequest(t, "GET / HTTP/1.1\r\nHost: a\r\nIdempotency-KEY:\t k 1 \r\nX: \r\nx: second\r\nLong-Name: v\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for lower, want := range map[string]string{"idempotency-key": "k 1", "x": "", "host": "a", "long-name": "v"} {
		if got, ok := q.Value(lower); !ok || string(got) != want {
			t.Errorf("%s: got %q, %v", lower, got, ok)
		}
	}
	for _, lower := range []string{"idempotency", "idempotency-key:", "get /", "", "long-name: v", "ong-name"} {
		if got, ok := q.Value(lower); ok {
			t.Errorf("%q: found %q", lower, got)
		}
	}
}

func TestPipelinedBytesStay(t *testing.T) {
	r := NewReader(strings.NewReader("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nrest"))
	for _, want := range []string{"/1", "/2"} {
		var q Request
		if err := r.ReadRequest(&q); err != nil || string(q.Target()) != want {
			t.Fatalf("%s, %v", q.Target(), err)
		}
		r.Finish()
	}
	if string(r.Buffered()) != "rest" {
		t.Errorf("left %q", r.Buffered())
	}
}

// A source that does not wait can be asked again and again; between messages no buffer is held.
func TestRequestsFromASourceThatDoesNotWait(t *testing.T) {
	src := &trickle{rest: []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n" + strings.Repeat("x", 30000))}
	r := NewReader(src)
	for range 3 {
		if err := r.Await(); err != errDry || r.buf != nil {
			t.Fatalf("%v, buffer %v", err, r.buf)
		}
	}
	src.open()
	if err := r.Await(); err != nil {
		t.Fatal(err)
	}
	var q Request
	for done := false; !done; {
		var err error
		if done, err = r.TryRequest(&q); err != nil {
			t.Fatal(err)
		}
		if !done {
			src.open()
			if err := r.More(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var b Body
	r.Body(&b, &q.Head)
	for total := 0; total < 30000; src.open() {
		p, err := b.Next()
		if err != nil && err != errDry {
			t.Fatal(err)
		}
		total += len(p)
	}
	r.Finish()
	if !b.Done() || r.buf != nil {
		t.Errorf("done %v, buffer %v", b.Done(), r.buf)
	}
}

var errDry = errors.New("nothing there")

// trickle hands out ten bytes each time it is opened.
type trickle struct {
	rest []byte
	left int
}

func (s *trickle) open() { s.left = 10 }

func (s *trickle) Read(p []byte) (int, error) {
	n := copy(p, s.rest[:min(s.left, len(s.rest))])
	s.rest, s.left = s.rest[n:], s.left-n
	if n == 0 {
		return 0, errDry
	}
	return n, nil
}

func TestRule26_Replies(t *testing.T) {
	for name, tc := range map[string]struct {
		in   Reply
		want string
	}{
		"plain": {Reply{Status: 503, Reason: "circuit_open"},
			"HTTP/1.1 503 Service Unavailable\r\nfairlead-reason: circuit_open\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\n\r\nfairlead: circuit_open\n"},
		"retry later": {Reply{Status: 429, Reason: "rate_limited", RetryAfter: 2, ConnOption: ConnKeepAlive},
			"HTTP/1.1 429 Too Many Requests\r\nfairlead-reason: rate_limited\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\nRetry-After: 2\r\nConnection: keep-alive\r\n\r\nfairlead: rate_limited\n"},
		"to HEAD": {Reply{Status: 504, Reason: "deadline", ConnOption: ConnClose, ToHead: true},
			"HTTP/1.1 504 Gateway Timeout\r\nfairlead-reason: deadline\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if _, err := tc.in.WriteTo(&out); err != nil || out.String() != tc.want {
				t.Errorf("got %q, %v\nwant %q", out.String(), err, tc.want)
			}
			p, err := readResponse(t, out.String(), RequestInfo{Head: tc.in.ToHead})
			if err != nil || p.Status != tc.in.Status {
				t.Errorf("our own reader: %v", err)
			}
		})
	}
}
