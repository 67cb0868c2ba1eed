package tlslayer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	host     = "api.example"
	patience = 20 * time.Second
)

// plainDialer dials from where the test is.
type plainDialer struct {
	buffers int // how much the kernel takes at once; 0: as it likes
}

func (d plainDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	if d.buffers > 0 {
		err = errors.Join(tcp.SetWriteBuffer(d.buffers), tcp.SetReadBuffer(d.buffers))
	}
	return tcp, err
}

// listen serves each connection to a new address with serve, which closes it, until the test ends.
func listen(t testing.TB, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		served := make(chan struct{}, 100)
		n := 0
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			n++
			_ = c.SetDeadline(time.Now().Add(patience))
			go func() { serve(c); served <- struct{}{} }()
		}
		for range n {
			<-served
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// listenTLS serves TLS connections whose handshake has been done.
func listenTLS(t testing.TB, config *tls.Config, serve func(*tls.Conn)) netip.AddrPort {
	t.Helper()
	return listen(t, func(c net.Conn) {
		defer c.Close()
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			serve(s)
		}
	})
}

// echo sends back what it receives, and ends when the client does.
func echo(c *tls.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if _, failed := c.Write(buf[:n]); err != nil || failed != nil {
			break
		}
	}
	_ = c.CloseWrite()
}

// connect connects to a server within patience.
func connect(t testing.TB, s *Server, to netip.AddrPort, protocols ...string) (*transport.Conn, error) {
	t.Helper()
	return connectBy(t, plainDialer{}, s, to, protocols...)
}

func connectBy(t testing.TB, d transport.Dialer, s *Server, to netip.AddrPort, protocols ...string) (*transport.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k := transport.Connector{Dialer: d, Handshake: func(_ context.Context, c *transport.Conn) error {
		return s.Handshake(c, protocols...)
	}}
	c, err := k.Connect(ctx, to)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func mustConnect(t testing.TB, s *Server, to netip.AddrPort) *transport.Conn {
	t.Helper()
	c, err := connect(t, s, to, HTTP1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trusting returns the server of the host for a client that trusts an authority.
func trusting(t testing.TB, a *tlstest.Authority) *Server {
	t.Helper()
	client, err := NewClient(a.Pool(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return client.Server(host)
}

// serverConfig is that of a server of the host.
func serverConfig(a *tlstest.Authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*a.Issue(nil, host)}, NextProtos: []string{HTTP2, HTTP1}}
}

func soon() (now, until time.Time) { now = time.Now(); return now, now.Add(patience) }

// readAll reads until n bytes have come, or the end.
func readAll(t testing.TB, c *transport.Conn, n int) (got []byte, err error) {
	t.Helper()
	for buf := make([]byte, 5000); len(got) < n; {
		now, until := soon()
		k, err := c.Read(buf, now, until)
		got = append(got, buf[:k]...)
		if err != nil {
			return got, err
		}
	}
	return got, nil
}
