package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is one exchange as bytes: what the client sends, what the upstream must see and says, and what the client must see.
type wire struct {
	send, seen    string
	answer, got   string
	clientEnds    bool // the proxy closes the client's connection after this
	upstreamEnds  bool // the upstream closes its connection after its answer
	upstreamFresh bool // the next request must come on another connection
}

var exchanges = map[string]wire{
	"plain": {
		send: "GET /a HTTP/1.1\r\nHost: a\r\nX-Case:  Kept\r\n\r\n", answer: "HTTP/1.1 200 Fine\r\nx: 1\r\nX: 2\r\nContent-Length: 2\r\n\r\nhi",
	},
	"empty lines in front": {
		send: "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	},
	"HEAD with a length": {
		send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
	},
	"HEAD chunked": {
		send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	},
	"HEAD without a length": {
		send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\n\r\n",
	},
	"204": {
		send: "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 204 No Content\r\n\r\n",
	},
	"304 with a length": {
		send: "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: x\r\n\r\n", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n",
	},
	"early hints": {
		send:   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	},
	"chunked both ways": {
		send: "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n" +
			"5;ext=\"v\"\r\nhello\r\nA\r\n0123456789\r\n0;last\r\nT: v\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nU: w\r\n\r\n",
	},
	"empty chunked": {
		send:   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	},
	"hop-by-hop fields": {
		send: "GET / HTTP/1.1\r\nConnection: keep-alive, X-Mine\r\nHost: a\r\nx-mine: 1\r\nKeep-Alive: 3\r\nTE: gzip\r\nY: 2\r\n\r\n",
		seen: "GET / HTTP/1.1\r\nHost: a\r\nY: 2\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-theirs\r\nKeep-Alive: timeout=5\r\nX-Theirs: 1\r\nContent-Length: 1\r\n" +
			"Proxy-Authenticate: Basic\r\n\r\nx",
		got: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nProxy-Authenticate: Basic\r\n\r\nx",
	},
	"the client closes": {
		send:       "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		seen:       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		got:        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
		clientEnds: true,
	},
	"the upstream closes": {
		send:          "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
		got:           "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
		clientEnds:    true, // which has chosen the address
		upstreamFresh: true,
	},
	"until close": {
		send:       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:     "HTTP/1.1 200 OK\r\nX: y\r\n\r\nwhatever comes",
		got:        "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nwhatever comes",
		clientEnds: true, upstreamEnds: true, upstreamFresh: true,
	},
	"HTTP/1.0": {
		send:       "GET / HTTP/1.0\r\nX: y\r\n\r\n",
		answer:     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		got:        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
		clientEnds: true,
	},
	"HTTP/1.0 kept alive": {
		send:   "GET / HTTP/1.0\r\nConnection: keep-alive\r\nX: y\r\n\r\n",
		seen:   "GET / HTTP/1.0\r\nX: y\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		got:    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx",
	},
	"HTTP/1.0 and an interim response": {
		send:       "GET / HTTP/1.0\r\nX: y\r\n\r\n",
		answer:     "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		got:        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
		clientEnds: true,
	},
	"an HTTP/1.0 upstream": {
		send:          "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
		got:           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
		clientEnds:    true,
		upstreamEnds:  true,
		upstreamFresh: true,
	},
	"an HTTP/1.0 upstream that keeps alive": {
		send:   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
		got:    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	},
	"absolute target": {
		send:   "GET http://b/x HTTP/1.1\r\nHost: a\r\nY: z\r\n\r\n",
		seen:   "GET http://b/x HTTP/1.1\r\nY: z\r\nHost: b\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	},
	"OPTIONS of the server": {
		send: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	},
	"an upgrade that is declined": {
		send:   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	},
	"CONNECT that is declined": {
		send: "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", answer: "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\nx",
	},
	"a repeated content length": {
		send:   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		seen:   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		got:    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	},
	"trailers named by Connection": {
		send: "PUT / HTTP/1.1\r\nHost: a\r\nConnection: X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\nT: v\r\n\r\n",
		seen: "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nConnection: Trailer, U\r\nTrailer: U\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nU: w\r\n" +
			"Content-Length: 3\r\nV: w\r\n\r\n",
		got: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nV: w\r\n\r\n",
	},
	"an offer of h2c and another that is declined": {
		send:   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AAA\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
		seen:   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	},
	"odd ways of saying something plain": {
		send:   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer: "HTTP/1.1 200 OK\nA : b\r\n c\nTransfer-Encoding: chunked\r\n\n3 \nabc\r\n0 ;x\r\n\n",
		got:    "HTTP/1.1 200 OK\r\nA: b c\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0;x\r\n\r\n",
	},
	"both a length and a coding": {
		send:          "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		got:           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		clientEnds:    true,
		upstreamFresh: true,
	},
	"204 with a length": {
		send: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", got: "HTTP/1.1 204 None\r\n\r\n",
	},
	"chunks for HTTP/1.0": {
		send:       "GET / HTTP/1.0\r\nX: y\r\n\r\n",
		answer:     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		got:        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde",
		clientEnds: true,
	},
	"the largest heads": {
		send:   "GET /" + strings.Repeat("p", 65000) + " HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 260000) + "\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nB: " + strings.Repeat("b", 260000) + "\r\nContent-Length: 1\r\n\r\nx",
	},
	"large heads": {
		send:   "GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 60000) + "\r\n\r\n",
		answer: "HTTP/1.1 200 OK\r\nB: " + strings.Repeat("b", 60000) + "\r\nContent-Length: 1\r\n\r\nx",
	},
	"large bodies": {
		send:   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("abc", 100000),
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("xyz", 100000),
	},
}

// writePieces writes s in up to most pieces cut at random.
func writePieces(w io.Writer, s string, rng *rand.Rand, most int) {
	for len(s) > 0 {
		n := 1 + rng.IntN(max(1, 2*len(s)/most))
		n = min(n, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return // the reader at the other end says what is wrong
		}
		s = s[n:]
	}
}

// script is an upstream that expects what the test says, one exchange after the other, on whatever connection it comes.
type script struct {
	t testing.TB

	mu sync.Mutex
	// guarded by mu
	next  wire
	rng   *rand.Rand
	conns map[int]int // exchanges by connection
}

func (s *script) serve(n int, p *peer) {
	for {
		first, err := p.r.Peek(1)
		if err != nil || len(first) == 0 {
			return
		}
		s.mu.Lock()
		x, rng := s.next, rand.New(rand.NewPCG(s.rng.Uint64(), 0))
		s.conns[n]++
		s.mu.Unlock()
		got := make([]byte, len(x.seen))
		_ = p.SetReadDeadline(time.Now().Add(patience))
		m, err := io.ReadFull(p.r, got)
		if err != nil || string(got) != x.seen {
			s.t.Errorf("the upstream saw %q, %v\nwant %q", clip(string(got[:m])), err, clip(x.seen))
			return
		}
		if p.r.Buffered() > 0 {
			more, _ := p.r.Peek(p.r.Buffered())
			s.t.Errorf("the upstream also saw %q", clip(string(more)))
			return
		}
		_ = p.SetReadDeadline(time.Time{})
		writePieces(p, x.answer, rng, 20)
		if x.upstreamEnds {
			return
		}
	}
}

func clip(s string) string {
	if len(s) > 600 {
		return s[:300] + "…" + s[len(s)-300:]
	}
	return s
}

// Every kind of exchange, in random order on connections that live as long as they may, with bytes split at random.
func TestRule29_OnTheWire(t *testing.T) {
	names := make([]string, 0, len(exchanges))
	for name := range exchanges {
		names = append(names, name)
	}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			up := &script{t: t, rng: rand.New(rand.NewPCG(seed, 2)), conns: map[int]int{}}
			w := build(t, serve(t, up.serve), toAny(nil))
			var c *client
			for range 60 {
				name := names[rng.IntN(len(names))]
				x := exchanges[name]
				if x.seen == "" {
					x.seen = x.send
				}
				if x.got == "" {
					x.got = x.answer
				}
				up.mu.Lock()
				up.next = x
				before := w.dialer.dials.Load()
				up.mu.Unlock()
				if c == nil {
					c = w.dial()
				}
				go writePieces(c, x.send, rand.New(rand.NewPCG(rng.Uint64(), 0)), 20)
				got := make([]byte, len(x.got))
				if n, err := io.ReadFull(c.r, got); err != nil || string(got) != x.got {
					t.Fatalf("%s: the client got %q, %v\nwant %q", name, clip(string(got[:n])), err, clip(x.got))
				}
				if x.clientEnds {
					if b, err := c.r.ReadByte(); err != io.EOF {
						t.Fatalf("%s: byte %q, %v, want the end", name, b, err)
					}
					c.Close()
					c = nil
				}
				if dialled := w.dialer.dials.Load() - before; dialled > 1 {
					t.Fatalf("%s: %d connections", name, dialled)
				}
				if t.Failed() {
					t.Fatalf("%s", name)
				}
			}
		})
	}
}

// The upstream connection is used again exactly when both sides agree to keep it.
func TestRule29_UpstreamConnectionsAreKeptWhenTheyMayBe(t *testing.T) {
	for name, x := range exchanges {
		t.Run(name, func(t *testing.T) {
			if x.seen == "" {
				x.seen = x.send
			}
			if x.got == "" {
				x.got = x.answer
			}
			up := &script{t: t, rng: rand.New(rand.NewPCG(1, 2)), conns: map[int]int{}, next: x}
			w := build(t, serve(t, up.serve), toAny(nil))
			for range 2 {
				c := w.dial()
				c.send(x.send)
				got := make([]byte, len(x.got))
				if _, err := io.ReadFull(c.r, got); err != nil || string(got) != x.got {
					t.Fatalf("got %q, %v", clip(string(got)), err)
				}
				// The proxy gives the connection back after the response's last byte; a request in the client's other
				// direction makes sure that it has.
				if x.clientEnds {
					c.expectEnd()
				}
				c.Close()
				w.waitFor(t, func() bool { return w.server.Connections() == 0 })
			}
			want := int64(1)
			if x.upstreamFresh {
				want = 2
			}
			if n := w.dialer.dials.Load(); n != want {
				t.Errorf("%d upstream connections, want %d", n, want)
			}
		})
	}
}

// Bytes behind a response belong to no request: whoever asks next must not get them.
func TestRule29_UnaskedResponsesAreNotServed(t *testing.T) {
	for name, late := range map[string]bool{"at once": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			poisoned := make(chan struct{})
			w := build(t, serve(t, func(n int, p *peer) {
				if _, _, ok := p.request(); !ok {
					return
				}
				poison := answer(200, "poison")
				if n > 0 {
					p.ok("clean")
					_, _, _ = p.request()
					return
				}
				if !late {
					p.send(answer(200, "first") + poison)
				} else {
					p.ok("first")
					p.send(poison)
					p.delivered(t)
					close(poisoned)
				}
				_, _ = p.r.ReadByte() // until the proxy closes
			}), toAny(nil))
			if _, body := w.dial().get("/1"); body != "first" {
				t.Fatalf("got %q", body)
			}
			if late {
				<-poisoned
			}
			if _, body := w.dial().get("/2"); body != "clean" {
				t.Fatalf("got %q", body)
			}
		})
	}
}
