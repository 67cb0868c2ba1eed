package proxy

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// keyed is a policy under which a key is what allows a second attempt.
func keyed(generate bool) policy.Binding {
	return toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.Idempotency, s.Retry.GenerateKey = policy.Of(policy.GatewayError), policy.IdempotentOrKeyed, generate
		s.Retry.Backoff.Initial = 1
	})
}

// requestLog is an upstream that keeps the heads of the requests it gets and answers 503 to the first of every call.
type requestLog struct {
	mu    sync.Mutex
	heads []http.Header
}

func (l *requestLog) serve(_ int, p *peer) {
	for {
		q, _, ok := p.request()
		if !ok {
			return
		}
		l.mu.Lock()
		l.heads = append(l.heads, q.Header)
		l.mu.Unlock()
		p.send(answer(503, ""))
	}
}

// seen are the heads of all requests so far.
func (l *requestLog) seen() []http.Header {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.heads)
}

// A key that is empty, or that Connection removes on the way, protects nobody from a second execution.
func TestRule09_AKeyThatIsNotForwardedDoesNotCount(t *testing.T) {
	for name, tc := range map[string]struct {
		fields   string
		attempts int
	}{
		"a key":           {"Idempotency-Key: k\r\n", 3},
		"none":            {"", 1},
		"an empty one":    {"Idempotency-Key:\r\n", 1},
		"a nominated one": {"Idempotency-Key: k\r\nConnection: idempotency-key\r\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var up requestLog
			w := build(t, serve(t, up.serve), keyed(false))
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\n" + tc.fields + "Content-Length: 2\r\n\r\nhi")
			if res, _ := c.response("POST"); res.StatusCode != 503 {
				t.Fatalf("got %d", res.StatusCode)
			}
			if n := len(up.seen()); n != tc.attempts {
				t.Errorf("%d attempts, want %d", n, tc.attempts)
			}
		})
	}
}

// A generated key takes the place of one that says nothing, for every method but the safe ones.
func TestRule16_AKeyIsGeneratedForRequestsThatLackIt(t *testing.T) {
	for name, tc := range map[string]struct {
		method, fields string
		generated      bool
	}{
		"POST":                 {"POST", "", true},
		"PUT":                  {"PUT", "", true},
		"DELETE":               {"DELETE", "", true},
		"PATCH":                {"PATCH", "", true},
		"an empty key":         {"POST", "idempotency-key:  \r\n", true},
		"a nominated key":      {"POST", "Idempotency-Key: k\r\nConnection: Idempotency-Key\r\n", true},
		"an empty and another": {"POST", "Idempotency-Key:\r\nIdempotency-Key: k\r\n", false},
		"a key":                {"PUT", "Idempotency-Key: k\r\n", false},
		"GET":                  {"GET", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var up requestLog
			w := build(t, serve(t, up.serve), keyed(true))
			c := w.dial()
			c.send(tc.method + " / HTTP/1.1\r\nHost: a\r\n" + tc.fields + "Content-Length: 0\r\n\r\n")
			if res, _ := c.response(tc.method); res.StatusCode != 503 {
				t.Fatalf("got %d", res.StatusCode)
			}
			heads := up.seen()
			if len(heads) != 3 {
				t.Fatalf("%d attempts", len(heads))
			}
			for _, h := range heads {
				keys := h.Values("Idempotency-Key")
				if generated := len(keys) == 1 && len(keys[0]) == 36; generated != tc.generated {
					t.Errorf("forwarded keys %q", keys)
				}
			}
		})
	}
}

// A request whose Max-Forwards has come to zero is answered here, and the connection serves the next one, under limits of its own.
func TestRule29_ARequestOutOfForwardsIsAnsweredHere(t *testing.T) {
	w := build(t, serve(t, echo), toAny(func(s *policy.Settings) { s.Timeouts.MaxDuration = time.Minute }))
	c := w.dial()
	c.send("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
	if res, body := c.response("OPTIONS"); res.StatusCode != 200 || body != "" || res.Close {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	trace := "TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n"
	c.send(trace + "Authorization: secret\r\n\r\n")
	if res, body := c.response("TRACE"); res.StatusCode != 200 || body != trace+"\r\n" || res.Header.Get("Content-Type") != "message/http" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	if n := w.dialer.dials.Load(); n != 0 {
		t.Errorf("%d upstream connections", n)
	}
	w.install(toAny(nil))
	if _, body := c.get("/y"); body != "GET /y " {
		t.Errorf("got %q", body)
	}
	c.send("OPTIONS /z HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n")
	if _, body := c.response("OPTIONS"); body != "OPTIONS /z " {
		t.Errorf("got %q", body)
	}
	c.send("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 100000\r\n\r\n")
	if res, _ := c.response("OPTIONS"); res.StatusCode != 200 || !res.Close {
		t.Errorf("with a body that is still to come: %d, close %v", res.StatusCode, res.Close)
	}
}

//overtls:originate,intercept
func TestRule26_ARefusedHEADHasNoContent(t *testing.T) {
	for name, bad := range map[string]string{
		"a field":   "HEAD / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
		"no target": "HEAD  HTTP/1.1\r\nHost: a\r\n\r\n",
		"too long":  "HEAD /" + strings.Repeat("a", 70000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, echo), toAny(nil))
			c := w.dial()
			go func() { _, _ = io.WriteString(c, bad) }() // may end early: the rest is not read
			res, _ := c.response("HEAD")
			if res.StatusCode != 400 && res.StatusCode != 414 {
				t.Errorf("got %d", res.StatusCode)
			}
			c.expectEnd()
		})
	}
}

// What clients read without an agent they read with one.
func TestRule27_OddResponsesReachTheClient(t *testing.T) {
	for name, tc := range map[string]struct{ request, answer, body string }{
		"space before the colon": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nhi", "hi"},
		"bare LF":                {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nhi", "hi"},
		"odd chunks":             {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nhi\r\n0000000000000001 ;a\r\n!\r\n0\r\n\r\n", "hi!"},
		"length and coding":      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi"},
		"chunks for HTTP/1.0":    {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi"},
		"HTTP/1.2":               {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"},
		"204 with a length":      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\n", ""},
		"a large head":           {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 200000) + "\r\nContent-Length: 2\r\n\r\nhi", "hi"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, toEach(func(p *peer) { p.send(tc.answer) })), toAny(nil))
			for range 2 {
				c := w.dial()
				c.send(tc.request)
				res, body := c.response("GET")
				if res.StatusCode/100 != 2 || body != tc.body || len(res.TransferEncoding) > 0 && strings.Contains(tc.request, "1.0") {
					t.Fatalf("got %d %q, %v", res.StatusCode, body, res.TransferEncoding)
				}
				c.Close()
			}
		})
	}
}
