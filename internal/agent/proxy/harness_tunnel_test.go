package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// tunnelEnd is the client's end of a tunnel, or the server's.
type tunnelEnd interface {
	// say sends words, and hear waits for as many.
	say(words string) error
	hear(words int) error
	// cut waits for the reset that ends the tunnel, and reports another end as an error.
	cut() error
	// leave ends the side, as somebody who has nothing more to say.
	leave() error
}

// word is what is said in tunnels: a ping of a websocket, as its client masks it (RFC 6455 section 5.5.2).
const word = "\x89\x80mask"

// connEnd is the end of a tunnel that has its connection to itself.
type connEnd struct {
	*net.TCPConn
	r io.Reader
}

func (e connEnd) say(words string) error { _, err := io.WriteString(e, words); return err }

func (e connEnd) hear(words int) error {
	_, err := io.ReadFull(e.r, make([]byte, words*len(word)))
	return err
}

func (e connEnd) cut() error {
	if _, err := io.Copy(io.Discard, e.r); !errors.Is(err, syscall.ECONNRESET) {
		return errors.Join(errors.New("no reset"), err)
	}
	return nil
}

func (e connEnd) leave() error { return e.CloseWrite() }

// streamEnd is the end of a tunnel that is a stream among others.
type streamEnd struct {
	*http2test.Stream
	heard int64
}

func (e *streamEnd) say(words string) error { return e.Data([]byte(words), false) }

func (e *streamEnd) hear(words int) error {
	e.heard += int64(words * len(word))
	_, err := e.Received(e.heard)
	return err
}

func (e *streamEnd) cut() error {
	code, err := e.AwaitReset()
	if err == nil && code != http2.ErrCodeCancel {
		err = errors.New("reset with " + code.String())
	}
	return err
}

func (e *streamEnd) leave() error { return e.Data(nil, true) }

// tunnels open a tunnel of each kind, under a policy with the settings.
var tunnels = map[string]func(t *testing.T, change func(*policy.Settings)) (w *testProxy, client, server tunnelEnd){
	"passed through": func(t *testing.T, change func(*policy.Settings)) (*testProxy, tunnelEnd, tunnelEnd) {
		servers := make(chan tunnelEnd, 1)
		w := build(t, serveEnds(t, servers, nil), declaredTCP(change))
		c := w.dial()
		return w, connEnd{c.TCPConn, c.r}, <-servers
	},
	"a websocket": func(t *testing.T, change func(*policy.Settings)) (*testProxy, tunnelEnd, tunnelEnd) {
		return becomeTunnel(t, change, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	},
	"CONNECT": func(t *testing.T, change func(*policy.Settings)) (*testProxy, tunnelEnd, tunnelEnd) {
		return becomeTunnel(t, change, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n")
	},
	"extended CONNECT": extendedConnect,
}

// serveEnds starts an upstream whose ends of tunnels are received from a channel, after what head does first, unless that is nil.
func serveEnds(t *testing.T, servers chan<- tunnelEnd, head func(*peer) bool) netip.AddrPort {
	t.Helper()
	over := make(chan struct{})
	at := serve(t, func(_ int, p *peer) {
		if head == nil || head(p) {
			servers <- connEnd{p.TCPConn, p.r}
			<-over
		}
	})
	t.Cleanup(func() { close(over) }) // before serve waits for it
	return at
}

func becomeTunnel(t *testing.T, change func(*policy.Settings), request, response string) (w *testProxy, client, server tunnelEnd) {
	t.Helper()
	servers := make(chan tunnelEnd, 1)
	w = build(t, serveEnds(t, servers, func(p *peer) bool {
		ok := p.headOnly()
		p.send(response)
		return ok
	}), toAny(change))
	c := w.dial()
	c.send(request)
	c.head()
	return w, connEnd{c.TCPConn, c.r}, <-servers
}

func extendedConnect(t *testing.T, change func(*policy.Settings)) (w *testProxy, client, server tunnelEnd) {
	t.Helper()
	servers, over := make(chan tunnelEnd, 1), make(chan struct{})
	srv := http2test.NewServer(t, http2test.Script{
		Options: http2test.Options{Settings: []http2.Setting{{ID: extended, Val: 1}}},
		Stream: func(s *http2test.Stream) {
			head, _ := s.Head()
			if head.Get(":method") != "CONNECT" {
				_ = s.Respond(200, nil, nil)
				return
			}
			_ = s.Headers(false, http2test.F(":status", "200"))
			servers <- &streamEnd{Stream: s}
			<-over
		},
	})
	t.Cleanup(func() { close(over) }) // before the server waits for it
	w = build(t, srv.Addr(), toAnyH2(change))
	c := w.dialH2(http2test.Options{})
	statusOf(t, must(c.Get("up.example", "/", nil))(t))
	poll(t, func() bool { v, _ := c.PeerSetting(extended); return v == 1 })
	s := must(c.Request(false, websocket()))(t)
	statusOf(t, s)
	return w, &streamEnd{Stream: s}, <-servers
}
