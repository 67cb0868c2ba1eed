package proxy

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// undeclared is a binding for every destination, whose protocol has to be found out.
func undeclared(change func(*policy.Settings)) policy.Binding {
	b := toAny(change)
	b.To.Protocol = policy.ProtocolAuto
	return b
}

// probed waits until the proxy takes the client for one that says nothing: it has connected to the server.
func (w *testProxy) probed() {
	w.t.Helper()
	w.waitFor(w.t, func() bool { return w.dialer.dials.Load() > 0 })
}

// What becomes of the connection to the server of a silent client becomes of the client's, and at once: it may have connected to
// see whether there is a server, or wait for the server's word.
func TestRule26_ASilentClientHearsOfItsServersEnd(t *testing.T) {
	ended := func(first func(*peer)) func(*testing.T) netip.AddrPort {
		return func(t *testing.T) netip.AddrPort { return serve(t, func(_ int, p *peer) { first(p) }) }
	}
	for name, tc := range map[string]struct {
		server func(*testing.T) netip.AddrPort
		want   error
	}{
		"refused": {server: closedAddress, want: syscall.ECONNRESET},
		"reset":   {server: ended(func(p *peer) { _ = p.SetLinger(0) }), want: syscall.ECONNRESET},
		"closed":  {server: ended(func(*peer) {}), want: io.EOF},
		"a greeting like an answer": {want: nil, server: func(t *testing.T) netip.AddrPort {
			return serve(t, func(_ int, p *peer) {
				p.send("HTTP/1.1 408 Request Timeout\r\n\r\n")
				_, _ = p.r.ReadByte()
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, tc.server(t), undeclared(nil))
			c := w.dial()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if n := w.events.passed[PassedOther].Load(); n != 1 {
				t.Errorf("counted %d times", n)
			}
			if n := w.dialer.dials.Load(); n != 1 {
				t.Errorf("the server was connected to %d times", n)
			}
		})
	}
}

// A request that begins slowly, or behind an empty line, is one all the same.
func TestRule32_ASlowFirstLineIsHTTP(t *testing.T) {
	w := build(t, serve(t, echo), undeclared(nil))
	c := w.dial()
	_ = c.SetNoDelay(true)
	for _, piece := range append([]string{"\r\n"}, strings.Split("GET /slow HTTP/1.1\r\n", "")...) {
		c.send(piece)
		c.pause(15 * time.Millisecond)
	}
	c.send("Host: a\r\n\r\n")
	if _, body := c.response("GET"); body != "GET /slow " {
		t.Fatalf("got %q", body)
	}
	w.seen.lastCall(t)
}

// A client that ends its side without a word may still be waiting for a server that speaks first.
func TestRule32_AClientThatOnlyListens(t *testing.T) {
	for name, late := range map[string]bool{"at once": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			w := build(t, serve(t, func(_ int, p *peer) {
				<-ended
				_, _ = io.ReadAll(p)
				p.send("the time")
			}), undeclared(nil))
			c := w.dial()
			if late {
				w.probed()
			}
			_ = c.CloseWrite()
			close(ended)
			if got, err := io.ReadAll(c.r); err != nil || string(got) != "the time" {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

// A client that is not understood and has ended its side is still there while the server takes its time to be reached.
func TestRule04_AHalfClosedTunnelIsNotDeparted(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		all, _ := io.ReadAll(p)
		p.send("got " + string(all))
	}), undeclared(nil))
	w.dialer.slow.Store(int64(3 * drive.FirstCheck))
	c := w.dial()
	c.send("HELO there\r\n")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c.r); err != nil || string(got) != "got HELO there\r\n" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// A client that waits for an answer while its next request waits to be read has not departed.
func TestRule04_APipeliningClientIsNotDeparted(t *testing.T) {
	var n atomic.Int64
	w := build(t, serve(t, toEach(func(p *peer) {
		if n.Add(1) == 1 {
			p.send(answer(503, "first"))
		} else {
			p.ok("fine")
		}
	})), toAny(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError)
		s.Retry.Backoff.Initial, s.Retry.Backoff.Max, s.Retry.Backoff.Jitter = 4*drive.FirstCheck, 4*drive.FirstCheck, policy.JitterNone
	}))
	c := w.dial()
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	w.waitFor(t, func() bool { return n.Load() == 1 })
	c.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
	for range 3 {
		if _, body := c.response("GET"); body != "fine" {
			t.Fatalf("got %q", body)
		}
	}
}

// pause is what the client does for a while.
func (c *client) pause(d time.Duration) {
	silence := time.NewTimer(d)
	defer silence.Stop()
	<-silence.C
}

// However the moments fall in which a client speaks, its silence is noticed and its server connected to, every
// request is governed and answered. The silence suffered is so short that every busy machine's stalls are in it.
func TestRule32_StallsLoseNoRequest(t *testing.T) {
	const clients, calls = 8, 150
	up := serve(t, func(n int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			p.ok("fine")
			if n%5 == 2 {
				return
			}
		}
	})
	w := buildWith(t, Options{sniffDelay: time.Nanosecond}, up, undeclared(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.ConnectFailure, policy.Reset)
		s.Retry.MaxRetries = 20
		s.Pool.MaxIdlePerEndpoint = 0 // every attempt on a connection of its own
	}))
	var all sync.WaitGroup
	for id := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 11))
			for i := range calls {
				if !stalledCall(t, w, rng) {
					t.Errorf("client %d, call %d", id, i)
					return
				}
			}
		})
	}
	all.Wait()
	for why := range PassedCount {
		if n := w.events.passed[why].Load(); n > 0 {
			t.Errorf("%d connections were passed through: %v", n, why)
		}
	}
}

// stalledCall makes one call on a new connection, after a silence that is anything from nothing to long enough for the probe to
// come to its end.
func stalledCall(t *testing.T, w *testProxy, rng *rand.Rand) (ok bool) {
	conn, err := net.Dial("tcp", w.captured.Addr().String())
	if err != nil {
		t.Error(err)
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	switch rng.IntN(3) {
	case 0:
	case 1:
		for range rng.IntN(50) {
			runtime.Gosched()
		}
	default:
		silence := time.NewTimer(time.Duration(rng.Int64N(int64(2 * time.Millisecond))))
		<-silence.C
	}
	cut := rng.IntN(len(request1K))
	for _, piece := range []string{request1K[:cut], request1K[cut:]} {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Error(err)
			return false
		}
		for range rng.IntN(20) {
			runtime.Gosched()
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return false
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || string(body) != "fine" {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
		return false
	}
	return true
}
