package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// serveRead serves a connection of which the beginning was read, and returns its client's end.
func (w *testProxy) serveRead(t *testing.T, read string) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	captured, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { w.server.ServeRead(pod, captured.(*net.TCPConn), w.original, []byte(read)) })
	t.Cleanup(func() { c.Close(); served.Wait() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// Whoever has read the beginning of a connection hands it over, however much that is and whatever the connection turns out to be.
func TestWhatWasReadBeforeIsServed(t *testing.T) {
	const request = "POST /x HTTP/1.1\r\nHost: up.example\r\nContent-Length: 5\r\n\r\nhello"
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			up := echoing(t)
			for _, n := range []int{0, 1, len(kind.opening) / 2, len(kind.opening)} {
				w := build(t, up, kind.bindings(nil)...)
				c := w.serveRead(t, kind.opening[:n])
				if _, err := io.WriteString(c, kind.opening[n:]); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(kind.opening))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != kind.opening {
					t.Errorf("of %d bytes that were read before the server has had %q, %v", n, got, err)
				}
			}
		})
	}
	t.Run("HTTP", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(rw, r.Body) }))
		defer s.Close()
		for _, b := range []policy.Binding{toAny(nil), undeclared(nil)} {
			for _, n := range []int{0, 1, 20, len(request) - 2, len(request)} {
				w := build(t, s.Listener.Addr().(*net.TCPAddr).AddrPort(), b)
				c := w.serveRead(t, request[:n])
				if _, err := io.WriteString(c, request[n:]); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatalf("with %d bytes read before: %v", n, err)
				}
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hello" {
					t.Errorf("with %d bytes read before the answer is %q, %v", n, body, err)
				}
			}
		}
	})
}

// echoing is a server that sends back what it is sent.
func echoing(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serves sync.WaitGroup
	serves.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serves.Go(func() { defer c.Close(); _, _ = io.Copy(c, c) })
		}
	})
	t.Cleanup(func() { l.Close(); serves.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}
