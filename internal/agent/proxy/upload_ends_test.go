package proxy

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// A body that turns bad later is refused in a way that the client can read, though it goes on sending.
//
//overtls:originate,intercept
func TestRule26_TheRefusalOfABodyCanBeRead(t *testing.T) {
	var whole atomic.Bool
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			whole.Store(true)
		}
	}), toAny(nil))
	for range 5 {
		c := w.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		c.send("bad\r\n")
		c.send("X\r\n" + strings.Repeat("x", 3<<20))
		if res, body := c.response("POST"); res.StatusCode != 400 || body == "" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
		c.expectEnd()
	}
	if whole.Load() {
		t.Error("the upstream takes the request for whole")
	}
}

// A HEAD that is answered locally has no content.
//
//overtls:originate,intercept
func TestRule26_AFailedHEADHasNoContent(t *testing.T) {
	w := build(t, closedAddress(t), toAny(nil))
	c := w.dial()
	c.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, body := c.response("HEAD"); res.StatusCode != 502 || body != "" {
		t.Fatalf("got %d %q", res.StatusCode, body)
	}
	c.expectEnd()
}

// After a local answer in the midst of an upload the client can read it, however much it still sends.
//
//overtls:originate,intercept
func TestRule26_ALocalAnswerToAnUploadCanBeRead(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if p.headOnly() {
			_ = p.SetLinger(0)
		}
	}), toAny(nil))
	for range 5 {
		c := w.dial()
		c.beginUpload(uploadSize)
		if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
			t.Fatalf("the upload: %v", err)
		}
		if res, _ := c.response("PUT"); res.StatusCode != 502 || res.Header.Get("fairlead-reason") != "reset" {
			t.Fatalf("got %d %v", res.StatusCode, res.Header)
		}
		c.expectEnd()
	}
}

// A departed client ends an upload that goes on behind its answer.
func TestRule04_ADepartedClientEndsTheUploadBehindItsAnswer(t *testing.T) {
	ended := make(chan error, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		if p.headOnly() {
			p.ok("later")
			_, err := io.Copy(io.Discard, p.r)
			ended <- err
		}
	}), toAny(nil))
	c := w.dial()
	c.beginUpload(uploadSize)
	c.response("PUT")
	_ = c.SetLinger(0)
	_ = c.Close()
	<-ended
	if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Outcome.Kind != call.OK {
		t.Errorf("report %+v", e)
	}
}

// An upstream that says no more but reads on (RFC 9112 section 9.6) is not taken for gone; the client hears of its end.
func TestRule20_AnUpstreamThatEndsItsSideReadsOn(t *testing.T) {
	got := make(chan int64, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		if !p.headOnly() {
			return
		}
		p.send("HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = p.CloseWrite()
		n, _ := io.CopyN(io.Discard, p.r, uploadSize)
		got <- n
	}), toAny(nil))
	c := w.dial()
	c.beginUpload(uploadSize)
	c.response("PUT")
	c.expectEnd()
	if _, err := io.CopyN(c, zeros{}, uploadSize); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != uploadSize {
		t.Errorf("%d of %d bytes arrived", n, uploadSize)
	}
}

// A forced stop ends an upload in whatever phase it is.
func TestAForcedStopEndsUploads(t *testing.T) {
	for name, up := range map[string]func(*peer){
		"before the answer": func(*peer) {},
		"behind it":         func(p *peer) { p.ok("later") },
	} {
		t.Run(name, func(t *testing.T) {
			began := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				if p.headOnly() {
					up(p)
					close(began)
					_, _ = io.Copy(io.Discard, p.r)
				}
			}), toAny(nil))
			c := w.dial()
			c.beginUpload(uploadSize)
			<-began
			w.server.abort()
			if _, err := io.Copy(io.Discard, c.r); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, net.ErrClosed) {
				t.Fatal(err)
			}
			w.waitFor(t, func() bool { return w.server.Connections() == 0 })
		})
	}
}

// What an upstream says while it takes nothing of a request that is sent in one piece is heard: a final response, behind which
// the rest is not sent, and an interim one, behind which it is.
func TestRule20_TheResponseOfAnUpstreamThatTakesNothingIsRead(t *testing.T) {
	const late = "HTTP/1.1 102 Processing\r\n\r\n"
	much := strings.Repeat("x", 28<<10)
	for name, tc := range map[string]struct {
		upstream func(p *peer, end <-chan struct{})
		status   int
	}{
		"a final response": {func(p *peer, end <-chan struct{}) { p.send(answer(413, "no")); <-end }, 413},
		"interim ones": {func(p *peer, end <-chan struct{}) {
			p.send(late + late)
			(&client{}).pause(4 * drive.FirstCheck) // so that somebody looks meanwhile
			echo(0, p)
		}, 200},
		"a final response behind interim ones": {func(p *peer, end <-chan struct{}) { p.send(late + late + answer(413, "no")); <-end }, 413},
		"interim ones in pieces": {func(p *peer, end <-chan struct{}) {
			p.send(late[:5])
			(&client{}).pause(4 * drive.FirstCheck)
			p.send(late[5:])
			echo(0, p)
		}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			end := make(chan struct{})
			w := build(t, serveNarrowly(t, func(_ int, p *peer) {
				if c, err := p.r.ReadByte(); err == nil && c == 'G' && p.r.UnreadByte() == nil {
					tc.upstream(p, end)
				}
			}), toAny(nil))
			t.Cleanup(func() { close(end) })
			w.dialer.narrow.Store(true)
			c := w.dial()
			c.send("GET /much HTTP/1.1\r\nHost: a\r\nX: " + much + "\r\n\r\n")
			res, got := c.response("GET")
			for res.StatusCode == 102 {
				res, got = c.response("GET")
			}
			if res.StatusCode != tc.status || tc.status == 200 && got != "GET /much " {
				t.Errorf("got %d %q", res.StatusCode, got)
			}
		})
	}
}

// A client that ends its side in the midst of its body may want to know what the upstream makes of that, which has to hear of it.
func TestRule04_AnUploadThatEndsInTheMidstIsAnswered(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			p.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhalf")
		}
	}), toAny(nil))
	c := w.dial()
	c.beginUpload(10)
	c.send("some")
	_ = c.CloseWrite()
	if res, body := c.response("PUT"); res.StatusCode != 400 || body != "half" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// A client that has sent all of its upload and has its answer may leave: what it sent goes on its way, as it would without a proxy.
func TestRule20_AnUploadThatIsAllSentArrivesThoughItsClientHasLeft(t *testing.T) {
	const size = 96 << 10
	var w *testProxy
	got := make(chan int64, 1)
	w = build(t, serve(t, func(_ int, p *peer) {
		if !p.headOnly() {
			return
		}
		// So that most of it waits on the client's side until this side reads.
		_, _ = p.SetReadBuffer(4<<10), w.dialer.last.Load().SetWriteBuffer(4<<10)
		p.ok("later")
		w.clientChecked()
		n, _ := io.CopyN(io.Discard, p.r, size)
		got <- n
	}), toAny(nil))
	c := w.dial()
	c.beginUpload(size)
	c.response("PUT")
	if _, err := io.CopyN(c, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if n := <-got; n != size {
		t.Errorf("%d of %d bytes arrived", n, size)
	}
	if e := w.seen.lastCall(t); e.Outcome.Truncated {
		t.Errorf("report %+v", e)
	}
}

// An upstream that breaks off behind its answer ends an upload whose client has nothing to say at the moment.
func TestRule20_TheUpstreamsBreakBehindItsAnswerIsNoticed(t *testing.T) {
	answered := make(chan struct{})
	w := build(t, serve(t, func(_ int, p *peer) {
		if p.headOnly() {
			p.ok("later")
			<-answered
			_ = p.SetLinger(0)
		}
	}), toAny(nil))
	c := w.dial()
	c.beginUpload(10)
	if _, body := c.response("PUT"); body != "later" {
		t.Fatalf("got %q", body)
	}
	close(answered)
	c.expectEnd()
	if e := w.seen.lastCall(t); !e.Outcome.Truncated || e.Detail != routes.DetailUploadCut {
		t.Errorf("report %+v", e)
	}
}
