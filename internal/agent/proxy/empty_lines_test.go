package proxy

import (
	"io"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// RFC 9112 section 2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line
// (CRLF) received prior to the request-line", which old clients send behind the body of a POST. It is no request that has begun:
// its time does not run, and a connection that has nothing else on it is idle.
func TestRule30_AnEmptyLineBehindABodyBeginsNoRequest(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
	for name, send := range map[string]func(*client){
		"with the body": func(c *client) {
			c.send(post + "\r\n")
			c.response("POST")
		},
		"with a streamed body": func(c *client) {
			c.send(post[:len(post)-1])
			c.send(post[len(post)-1:] + "\r\n")
			c.response("POST")
		},
		"behind the response": func(c *client) {
			c.send(post)
			c.response("POST")
			c.send("\r\n")
		},
		"twice": func(c *client) {
			c.send(post + "\r\n\r\n")
			c.response("POST")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := buildWith(t, Options{headTimeout: drive.FirstCheck}, serve(t, echo), toAny(nil))
			c := w.dial()
			send(c)
			c.pause(4 * drive.FirstCheck)
			poll(t, func() bool { return w.idle() == 1 })
			if _, body := c.get("/next"); body != "GET /next " {
				t.Fatalf("got %q", body)
			}
			c.send("\r\n")
			_ = c.CloseWrite()
			if b, err := c.r.ReadByte(); err != io.EOF {
				t.Errorf("byte %q, %v, want the end", b, err)
			}
		})
	}
}

// Empty lines without end are no way to begin a request, and those of one connection are not held against another.
func TestRule30_EmptyLinesAreCountedPerRequest(t *testing.T) {
	oneProcessor(t)
	w := build(t, serve(t, echo), toAny(nil))
	for _, tc := range []struct {
		lines  string
		status int
	}{{"\r\n\r\n\r\n", 400}, {"\r\n", 200}} {
		c := w.dial()
		c.send(tc.lines + "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if res, _ := c.response("GET"); res.StatusCode != tc.status {
			t.Fatalf("%q: got %d", tc.lines, res.StatusCode)
		}
		c.Close()
		w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	}
}

// A request that has begun must come to its end in time.
func TestRule30_ASlowHeadIsRefused(t *testing.T) {
	w := buildWith(t, Options{headTimeout: drive.FirstCheck}, serve(t, echo), toAny(nil))
	c := w.dial()
	c.send("\r\nGET / HT")
	if res, _ := c.response("GET"); res.StatusCode != 408 || !res.Close {
		t.Errorf("got %d, close %v", res.StatusCode, res.Close)
	}
}

// idle counts the connections that wait for a request.
func (w *testProxy) idle() (n int) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	for c := range w.server.connections {
		if c.client.Activity.State() == drive.Idle {
			n++
		}
	}
	return n
}
