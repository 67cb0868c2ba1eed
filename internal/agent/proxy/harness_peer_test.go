package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serve starts an upstream that hands each connection to f, which closes it by returning.
func serve(t testing.TB, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	return serveBy(t, &net.ListenConfig{}, over.accept, f)
}

// serveClear is serve by an upstream that speaks no TLS, whatever the run does.
func serveClear(t testing.TB, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	return serveBy(t, &net.ListenConfig{}, func(c net.Conn) net.Conn { return c }, f)
}

// serveNarrowly is serve by an upstream whose kernel takes little that f does not read.
func serveNarrowly(t testing.TB, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	return serveBy(t, &net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
		return errors.Join(cerr, err)
	}}, over.accept, f)
}

func serveBy(t testing.TB, by *net.ListenConfig, secure func(net.Conn) net.Conn, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	l, err := by.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	closed := false
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if closed {
				c.Close()
			}
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				p := &peer{stream: stream{TCPConn: c.(*net.TCPConn)}}
				defer p.Close()
				if p.put(secure(c)); p.tls != nil && p.tls.Handshake() != nil {
					return
				}
				p.r = bufio.NewReader(p)
				f(n, p)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		closed = true
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// peer is the upstream's side of a connection.
type peer struct {
	stream

	r *bufio.Reader
}

// delivered waits until the other side's kernel has all that was sent, the end included.
func (p *peer) delivered(t testing.TB) {
	raw, err := p.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for left := 1; left > 0; <-again.C {
		reset := false
		err := raw.Control(func(fd uintptr) {
			left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
			info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			reset = infoErr == nil && info.State == unix.BPF_TCP_CLOSE // what was queued then stays queued
		})
		if err != nil || reset {
			return // closed, as at the end of a test
		}
	}
}

// request reads one request with its body.
func (p *peer) request() (*http.Request, string, bool) {
	q, err := http.ReadRequest(p.r)
	if err != nil {
		return nil, "", false
	}
	body, err := io.ReadAll(q.Body)
	return q, string(body), err == nil
}

// toEach has f answer each request of a connection.
func toEach(f func(p *peer)) func(int, *peer) {
	return func(_ int, p *peer) {
		for {
			if _, _, ok := p.request(); !ok {
				return
			}
			f(p)
		}
	}
}

func (p *peer) send(s string) { _, _ = io.WriteString(p, s) }

func (p *peer) ok(body string) { p.send(answer(200, body)) }
