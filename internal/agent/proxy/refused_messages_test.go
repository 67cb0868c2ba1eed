package proxy

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// A response that breaks the protocol is the upstream's failure; nothing of it reaches the client.
//
//overtls:originate,intercept
func TestRule27_BadResponsesAreNotForwarded(t *testing.T) {
	for name, bad := range map[string]string{
		"lengths differ":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"other coding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"no colon":         "HTTP/1.1 200 OK\nContent-Length 0\n\n",
		"no status line":   "hello\r\n\r\n",
		"unasked switch":   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"bad first chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"head too large":   "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 263000) + "\r\n\r\n",
		"another protocol": "220 mail.example ESMTP\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(_ int, p *peer) {
				if _, _, ok := p.request(); ok {
					p.send(bad)
					_, _ = p.r.ReadByte()
				}
			}), toAny(nil))
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			if name == "bad first chunk" {
				all, _ := io.ReadAll(c.r)
				if strings.Contains(string(all), "xyz") || strings.Contains(string(all), "\r\n0\r\n") {
					t.Fatalf("got %q", all)
				}
				return
			}
			res, body := c.response("POST")
			if res.StatusCode != 502 || res.Header.Get("Fairlead-Reason") != "protocol" {
				t.Fatalf("got %d %q %q", res.StatusCode, res.Header, body)
			}
		})
	}
}

// What follows a refused request on the same connection is not looked at.
func TestRule27_NothingBehindARefusedRequestIsServed(t *testing.T) {
	for name, bad := range map[string]string{
		"both lengths":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"bad chunk size": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
		"folded":         "POST / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
		"two hosts":      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"space at colon": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(_ int, p *peer) {
				if q, _, ok := p.request(); ok {
					t.Errorf("the upstream saw %s %s", q.Method, q.RequestURI)
				}
			}), toAny(nil))
			c := w.dial()
			c.send(bad + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			res, _ := c.response("POST")
			if res.StatusCode != 400 || !res.Close {
				t.Errorf("got %d, close %v", res.StatusCode, res.Close)
			}
			c.expectEnd()
		})
	}
}

// A bad chunk in the middle of a body that is under way ends both connections; the upstream must not see a complete body.
func TestRule27_ABodyThatTurnsBadIsNotCompleted(t *testing.T) {
	ended := make(chan error, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		_, _, ok := p.request()
		if ok {
			ended <- nil
			return
		}
		ended <- errors.New("incomplete")
	}), toAny(nil))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	w.waitFor(t, func() bool { return w.dialer.dials.Load() > 0 })
	c.send("zz\r\n0\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("the upstream took the body for complete")
	}
	res, _ := c.response("POST")
	if res.StatusCode != 400 {
		t.Errorf("got %d", res.StatusCode)
	}
	c.expectEnd()
}

// A response that is cut off must not look complete to the client.
//
//overtls:originate,intercept
func TestRule29_CutResponsesDoNotLookComplete(t *testing.T) {
	for name, cut := range map[string]string{
		"content length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"in a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf",
		"between chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"in trailers":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nT: v\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(_ int, p *peer) {
				if _, _, ok := p.request(); ok {
					p.send(cut)
				}
			}), toAny(nil))
			c := w.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			all, err := io.ReadAll(c.r)
			if strings.HasSuffix(string(all), "\r\n\r\n") && strings.Contains(string(all), "half") || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %q, %v", all, err)
			}
		})
	}
}

// Bytes that arrive together with the heads of a switch of protocols belong to the tunnel, in both directions.
func TestRule29_TunnelsLoseNoEarlyBytes(t *testing.T) {
	for name, x := range map[string]struct{ request, response string }{
		"upgrade": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		},
		"CONNECT": {"CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(_ int, p *peer) {
				if _, err := io.ReadFull(p.r, make([]byte, len(x.request))); err != nil {
					return
				}
				p.send(x.response + "early from the server ")
				_, _ = io.Copy(p, p.r) // echo until the client has finished
			}), toAny(nil))
			c := w.dial()
			c.send(x.request + "early from the client, ")
			c.send("late")
			_ = c.CloseWrite()
			head := make([]byte, len(x.response))
			if _, err := io.ReadFull(c.r, head); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(c.r)
			if want := "early from the server early from the client, late"; err != nil || string(rest) != want {
				t.Errorf("got %q, %v\nwant %q", rest, err, want)
			}
		})
	}
}

// Requests that a client has sent before it finished sending are answered, and then the connection ends.
func TestRule29_RequestsBeforeAHalfClose(t *testing.T) {
	for _, count := range []int{1, 2, 5} {
		w := build(t, serve(t, echo), toAny(nil))
		c := w.dial()
		c.send(strings.Repeat("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", count))
		_ = c.CloseWrite()
		for range count {
			if _, body := c.response("GET"); body != "GET /x " {
				t.Fatalf("got %q", body)
			}
		}
		if b, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("%d requests: byte %q, %v, want the end", count, b, err)
		}
	}
}

//overtls:originate,intercept
func TestRule30_LimitsAreAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		send   string
		status int
	}{
		"request line": {"GET /" + strings.Repeat("a", 65<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		"header block": {"GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 257<<10) + "\r\n\r\n", 431},
		"empty target": {"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"empty port":   {"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"version":      {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, echo), toAny(nil))
			c := w.dial()
			go func() { _, _ = io.WriteString(c, tc.send) }() // may end early: the rest is not read
			res, _ := c.response("GET")
			if res.StatusCode != tc.status || !res.Close {
				t.Errorf("got %d, close %v", res.StatusCode, res.Close)
			}
			c.expectEnd()
		})
	}
}
