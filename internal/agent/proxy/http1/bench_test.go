package http1

import (
	"io"
	"strings"
	"testing"
	"time"
)

const (
	typicalRequest = "GET /api/v1/orders/4711?expand=items HTTP/1.1\r\n" +
		"Host: orders.shop.svc.cluster.local:8080\r\n" +
		"User-Agent: shop-frontend/3.14.1 (linux; amd64)\r\n" +
		"Accept: application/json\r\n" +
		"Accept-Encoding: gzip, deflate\r\n" +
		"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJmcm9udGVuZCJ9.c2lnbmF0dXJl\r\n" +
		"X-Request-Id: 0f4d5a2e-6c8e-4d1f-9b3a-1a2b3c4d5e6f\r\n" +
		"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
	responseHead = "HTTP/1.1 200 OK\r\nDate: Mon, 02 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n" +
		"Server: orders\r\nContent-Length: 1024\r\n\r\n"
)

// again serves the same message for ever.
type again struct {
	message string
	at      int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.message[a.at:])
	a.at = (a.at + n) % len(a.message)
	return n, nil
}

func requestLoop(message string, f Forward) func(testing.TB) {
	r := NewReader(&again{message: message})
	q, b := new(Request), new(Body)
	return func(t testing.TB) {
		if err := r.ReadRequest(q); err != nil {
			t.Fatal(err)
		}
		r.Body(b, &q.Head)
		first, err := b.Ready()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.WriteRequest(io.Discard, f, first); err != nil {
			t.Fatal(err)
		}
		if done := b.CopyTo(io.Discard, Copying{}); done.Read != nil || done.Write != nil {
			t.Fatal(done)
		}
		r.Finish()
	}
}

func responseLoop(message string, to RequestInfo) func(testing.TB) {
	r := NewReader(&again{message: message})
	p, b := new(Response), new(Body)
	return func(t testing.TB) {
		if err := r.ReadResponse(p, to); err != nil {
			t.Fatal(err)
		}
		r.Body(b, &p.Head)
		first, err := b.Ready()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteResponse(io.Discard, Forward{}, first); err != nil {
			t.Fatal(err)
		}
		if done := b.CopyTo(io.Discard, Copying{}); done.Read != nil || done.Write != nil {
			t.Fatal(done)
		}
		r.Finish()
	}
}

var loops = map[string]func(testing.TB){
	"request":            requestLoop(typicalRequest, Forward{}),
	"request with hops":  requestLoop(strings.Replace(typicalRequest, "Accept:", "Connection: keep-alive\r\nAccept:", 1), Forward{}),
	"request with extra": requestLoop(typicalRequest, Forward{Extra: []byte("Idempotency-Key: 0123456789abcdef\r\n")}),
	"chunked request": requestLoop("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"+strings.Repeat("x", 1024)+"\r\n0\r\n\r\n",
		Forward{}),
	"request with nominations": requestLoop("PUT / HTTP/1.1\r\nHost: a\r\nConnection: "+strings.Repeat("x,", 20)+"T\r\nX: y\r\nUpgrade: h2c, x\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: v\r\nU: w\r\n\r\n", Forward{}),
	"odd response": responseLoop("HTTP/1.1 200 OK\nA : b\n c\nContent-Length: 5\nTransfer-Encoding: chunked\n\n400 \n"+strings.Repeat("x", 1024)+"\n0\nT : u\n\n",
		RequestInfo{}),
	"response to HTTP/1.0": responseLoop("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"+strings.Repeat("x", 1024)+"\r\n0\r\n\r\n",
		RequestInfo{HTTP10: true}),
	"response":           responseLoop(responseHead+strings.Repeat("x", 1024), RequestInfo{}),
	"response with hops": responseLoop(strings.Replace(responseHead, "Server:", "Connection: keep-alive\r\nServer:", 1)+strings.Repeat("x", 1024), RequestInfo{}),
	"reply": func(t testing.TB) {
		reply := Reply{Status: 503, Reason: "circuit_open", RetryAfter: 3}
		if _, err := reply.WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
	},
}

func BenchmarkForward(b *testing.B) {
	for name, once := range loops {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				once(b)
			}
		})
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools drop buffers on purpose")
	}
	for name, once := range loops {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(1000, func() { once(t) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestLookingUpDoesNotAllocate(t *testing.T) {
	q, err := readRequest(t, typicalRequest)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readResponse(t, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n", RequestInfo{})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if v, ok := q.Value("traceparent"); !ok || len(v) != 55 || len(q.Host()) == 0 {
			t.Fatal("not found")
		}
		if v, ok := q.Header("traceparent"); !ok || len(v) != 55 {
			t.Fatal("not forwarded")
		}
		if d, ok := p.KeepAliveTimeout(); !ok || d != 5*time.Second {
			t.Fatal("no time")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
