package differential

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// The scenarios of other themes, played again where both ends speak TLS (kinds intercept-…), and through an HTTP proxy (kinds via…).

// intercepted is a kind of a protocol: the server by its name, called over TLS, which the agent ends in governed runs.
func intercepted(p v1alpha1.Protocol) kind {
	alpn := "h2"
	if p == v1alpha1.ProtocolHTTP {
		alpn = "http/1.1"
	}
	return kind{name: "intercept-" + strings.ToLower(string(p)), direct: true, tls: true, alpn: alpn, to: func(r *run) v1alpha1.Destination {
		return v1alpha1.Destination{Host: serverName, Ports: []int32{int32(r.port())}, Protocol: p,
			TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept, CABundleRef: &v1alpha1.CABundleReference{Name: "authority"}}}
	}}
}

// proxyPort is where the proxy listens, at server 1.
const proxyPort = 3128

// via is a kind of a protocol: the server by its name, through the proxy.
func via(p v1alpha1.Protocol) kind {
	return kind{name: "via-" + strings.ToLower(string(p)), direct: true, proxied: true, to: func(r *run) v1alpha1.Destination {
		return v1alpha1.Destination{Host: serverName, Ports: []int32{int32(r.port())}, Protocol: p, Via: &v1alpha1.Via{Proxy: proxyAddr().String()}}
	}}
}

func proxyAddr() netip.AddrPort { return netip.AddrPortFrom(serverAddrs(1).v4, proxyPort) }

// fatal is for what outlives a test.
type fatal struct{ testing.TB }

func (fatal) Helper()          {}
func (fatal) Fatal(why ...any) { panic(fmt.Sprint(why...)) }

// egress is the authority that pods trust whose TLS is intercepted.
var egress = sync.OnceValue(func() *tlstest.Authority { return tlstest.New(fatal{}) })

// issuer is the node's.
var issuer = sync.OnceValue(func() *policy.KeyPair {
	c := egress().Issuer(nil)
	return &policy.KeyPair{Name: policy.IssuerName, Chain: c.Certificate, Key: tlstest.Key(fatal{}, c)}
})

// trusted are the authorities that the client trusts: in governed runs that of the agent alone.
func (r *run) trusted() *x509.CertPool {
	if r.governed && r.kind.tls {
		return egress().Pool()
	}
	return trusted()
}

// securedServer is the server's side of a connection.
func (r *run) securedServer(c net.Conn) net.Conn {
	if !r.kind.tls {
		return c
	}
	return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}})
}

// securedClient is the client's side, for an application protocol.
func (r *run) securedClient(ctx context.Context, c net.Conn, alpn ...string) (*tls.Conn, error) {
	s := tls.Client(c, &tls.Config{RootCAs: r.trusted(), ServerName: serverName, NextProtos: alpn})
	return s, s.HandshakeContext(ctx)
}

// securedListener is for servers that find out what is spoken by its first bytes. Its end is marked "listens no more".
type securedListener struct {
	net.Listener
	r *run
}

// Accept implements net.Listener.
func (l securedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{l.r.securedServer(c)}, nil
}

// Close implements net.Listener.
func (l securedListener) Close() error {
	defer l.r.mark("listens no more")
	return l.Listener.Close()
}

// secureServer puts TLS on a server's peer, if the kind has it.
func (r *run) secureServer(p *peer) bool {
	if !r.kind.tls {
		return true
	}
	p.await()
	raw := &ending{Conn: p.conn}
	s := r.securedServer(raw).(*tls.Conn)
	return p.secured(raw, s, s.Handshake())
}

// secureClient is secureServer for the client's.
func (r *run) secureClient(p *peer) bool {
	if !r.kind.tls {
		return true
	}
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	raw := &ending{Conn: p.conn}
	s, err := r.securedClient(ctx, raw, r.kind.alpn)
	return p.secured(raw, s, err)
}

// secured has the peer speak over TLS from now on.
func (p *peer) secured(raw *ending, s *tls.Conn, err error) bool {
	if err != nil {
		p.note("no handshake: %s", tlsError(err))
		return false
	}
	p.tls, p.in = s, bufio.NewReaderSize(announced{s, raw}, 64<<10)
	return true
}

// out is what the peer writes to.
func (p *peer) out() io.Writer {
	if p.tls != nil {
		return p.tls
	}
	return p.conn
}

// errCut is the end of a connection with TLS that was not announced.
var errCut = errors.New("cut")

// ending is a connection below TLS that notes its end: crypto/tls takes one at the end of a record for one that was announced.
type ending struct {
	net.Conn
	ended atomic.Bool
}

// Read implements net.Conn.
func (c *ending) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		c.ended.Store(true)
	}
	return n, err
}

// announced reads from a connection, and distinguishes how it ends.
type announced struct {
	*tls.Conn
	raw *ending
}

// Read implements io.Reader.
func (c announced) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.raw.ended.Load() {
		err = errCut
	}
	return n, err
}

// connect connects to the server as a client of the kind does.
func (r *run) connect(ctx context.Context) (net.Conn, error) {
	c, err := r.reach(ctx, r.addr())
	if err != nil || !r.kind.tls {
		return c, err
	}
	return r.securedClient(ctx, c, r.kind.alpn)
}

// reach connects to an address, through the proxy if the kind has one and the agent does not do it.
func (r *run) reach(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	if !r.kind.proxied || r.governed {
		return r.world.pod.Dial(ctx, to, 0)
	}
	c, err := r.world.pod.Dial(ctx, proxyAddr(), 0)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	defer func() { _ = c.SetDeadline(time.Time{}) }()
	at := fmt.Sprintf("%s:%d", serverName, to.Port())
	_, err = fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", at, at)
	var said strings.Builder
	for b := make([]byte, 1); err == nil && !strings.HasSuffix(said.String(), "\r\n\r\n"); said.Write(b) { // what follows is the server's
		_, err = io.ReadFull(c, b)
	}
	if err == nil && !strings.HasPrefix(said.String(), "HTTP/1.1 200 ") {
		err = errors.New("the proxy says " + said.String()[9:12])
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// serveProxy runs the proxy, which knows one server.
func (r *run) serveProxy() {
	l := r.listen(1, proxyPort)
	var mu sync.Mutex
	var open []net.Conn
	closed := false
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
		if closed {
			_ = c.Close()
		}
	}
	r.atEnd(1, func() {
		mu.Lock()
		defer mu.Unlock()
		closed = true
		for _, c := range open {
			_ = c.Close()
		}
	})
	r.accepting.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			keep(c)
			r.accepting.Go(func() { r.proxy(c, keep) })
		}
	})
}

// proxy leads a connection on to the server.
func (r *run) proxy(c *net.TCPConn, keep func(net.Conn)) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" {
			break
		}
	}
	up, err := r.world.servers[1].Dial(r.ctx, r.at(0), 0)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer func() { _ = up.Close() }()
	keep(up)
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { relay(up, in, c) })
	both.Go(func() { relay(c, up, up) })
	both.Wait()
}

// relay copies one way, and passes on how it ends.
func relay(to *net.TCPConn, from io.Reader, of *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = to.SetLinger(0), of.SetLinger(0)
		_, _ = to.Close(), of.Close()
		return
	}
	_ = to.CloseWrite()
}

// played are scenarios of another theme, of these names, under another kind.
func played(theme string, k kind, list []scenario, names ...string) []scenario {
	var out []scenario
	for _, name := range names {
		found := false
		for _, s := range list {
			if s.name == name {
				found = true
				s.name = theme + "-" + name
				out = append(out, s.under(k))
			}
		}
		if !found {
			panic("there is no scenario " + theme + "/" + name)
		}
	}
	return out
}
