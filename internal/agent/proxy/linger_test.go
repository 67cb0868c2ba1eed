package proxy

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// sendEndlessly sends until that fails, and returns why.
func (c *client) sendEndlessly() error {
	_, err := io.Copy(struct{ io.Writer }{c.TCPConn}, zeros{})
	return err
}

// A client that goes on sending behind its last response is not read from for ever. Without a proxy it would have been cut off.
//
//overtls:originate,intercept
func TestRule26_LingeringEnds(t *testing.T) {
	for name, up := range map[string]func(*peer){
		"behind our refusal of the body":     func(p *peer) { _, _ = io.Copy(io.Discard, p.r) },
		"behind our answer for a reset":      func(p *peer) { _ = p.SetLinger(0) },
		"behind the answer of a server gone": func(p *peer) { p.ok("enough") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			w := buildWith(t, Options{lingerFor: drive.FirstCheck}, serve(t, func(_ int, p *peer) {
				if p.headOnly() {
					up(p)
				}
			}), toAny(nil))
			c := w.dial()
			c.send("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffff\r\n")
			if name == "behind our refusal of the body" {
				c = w.dial()
				c.send("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxbad")
			}
			if err := c.sendEndlessly(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the client can send for ever: %v", err)
			}
			w.waitFor(t, func() bool { return w.server.Connections() == 0 || name == "behind our refusal of the body" })
		})
	}
}

// An upstream that keeps the connection by its own word but ends its side: nothing can be answered behind that, so no further
// request is taken, and no server gets one.
func TestRule20_NoRequestIsServedBehindTheUpstreamsEnd(t *testing.T) {
	more := make(chan string, 1)
	w := build(t, serve(t, func(n int, p *peer) {
		if n > 0 {
			if q, _, ok := p.request(); ok {
				more <- q.URL.Path
			}
			return
		}
		if !p.headOnly() {
			return
		}
		p.send(answer(202, ""))
		_ = p.CloseWrite()
		_, _ = io.CopyN(io.Discard, p.r, uploadSize)
	}), toAny(nil))
	w.serviceOf(nil)
	c := w.dial()
	c.beginUpload(uploadSize)
	c.response("PUT")
	c.expectEnd() // the client hears of it
	if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") // fails when the end is complete
	_ = c.CloseWrite()
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	select {
	case path := <-more:
		t.Errorf("%s was served, and its answer lost", path)
	default:
	}
}

// A client that ends its side behind its upload, when the upstream has ended its own, has not gone: the upload goes on to its end.
func TestRule04_AClientThatEndsItsSideBehindTheUpstreamsEndIsThere(t *testing.T) {
	sent, got := make(chan struct{}), make(chan int64, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		_ = p.SetReadBuffer(16 << 10) // so that much of it is still on its way when the client has sent it
		if !p.headOnly() {
			return
		}
		p.send("HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = p.CloseWrite()
		var n int64
		piece := make([]byte, 16<<10)
		for waiting := true; n < uploadSize; {
			m, err := p.r.Read(piece)
			n += int64(m)
			if err != nil {
				break
			}
			select {
			case <-sent:
				if waiting { // so that somebody looks at the client meanwhile
					waiting = false
					again := time.NewTimer(2 * drive.MaxCheck)
					<-again.C
				}
			default:
			}
		}
		got <- n
	}), toAny(func(s *policy.Settings) { s.Timeouts.Idle = 2 * patience }))
	c := w.dial()
	c.beginUpload(uploadSize)
	c.response("PUT")
	c.expectEnd()
	if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	close(sent)
	if n := <-got; n != uploadSize {
		t.Errorf("%d of %d bytes arrived", n, uploadSize)
	}
	if e := w.seen.lastCall(t); e.Outcome.Truncated {
		t.Errorf("report %+v", e)
	}
}
