package proxy

import (
	"strings"
	"testing"
)

func TestKeepAliveOnBothSides(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	c := w.dial()
	for range 3 {
		res, body := c.get("/x")
		if res.StatusCode != 200 || body != "GET /x " {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	c.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, _ := c.response("HEAD"); res.ContentLength != 5 {
		t.Fatalf("HEAD: %v", res)
	}
	c.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if _, body := c.response("POST"); body != "POST /p hello" {
		t.Fatalf("got %q", body)
	}
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d upstream connections, want 1", n)
	}
}

func TestPipelining(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	c := w.dial()
	c.send(strings.Repeat("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 5))
	for range 5 {
		if _, body := c.response("GET"); body != "GET /1 " {
			t.Fatalf("got %q", body)
		}
		if _, body := c.response("POST"); body != "POST /2 abc" {
			t.Fatalf("got %q", body)
		}
	}
}

func TestBodiesInPieces(t *testing.T) {
	w := build(t, serve(t, echo), toAny(nil))
	c := w.dial()
	for range 2 {
		c.send("PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
		c.send("c\r\n")
		c.send("2\r\nde\r\n0\r\n\r\n")
		if _, body := c.response("PUT"); body != "PUT /c abcde" {
			t.Fatalf("got %q", body)
		}
	}
	big := strings.Repeat("x", 1<<20)
	c.send("PUT /c HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n")
	c.send(big)
	if _, body := c.response("PUT"); body != "PUT /c "+big {
		t.Fatalf("got %d bytes", len(body))
	}
}
