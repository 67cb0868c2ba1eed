package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// overVariable has all tests of a run go over TLS, of which they know nothing: with the value originate between the agent and their servers, with
// intercept between their clients and the agent too. hack/enforcement sets it to find out whether what the tests hold in the clear holds inside TLS.
const overVariable = "FAIRLEAD_OVER_TLS"

// overTLS is what such a run needs. In other runs its mode is TLSPassthrough, and all that it is given stays as it is.
type overTLS struct {
	mode   policy.TLSMode
	server *tls.Config // that of all servers
	client *tls.Config // that of all clients
	roots  *policy.Roots
	issuer *policy.KeyPair
}

// over is the run's; TestMain sets it.
var over overTLS

// fatal is for authorities that outlive a test.
type fatal struct{ testing.TB }

func (fatal) Helper()          {}
func (fatal) Fatal(why ...any) { cannotDrop(fmt.Sprint(why...)) }

func (o *overTLS) init() {
	switch how := os.Getenv(overVariable); how {
	case "":
		return
	case "originate":
		o.mode = policy.TLSOriginate
	case "intercept":
		o.mode = policy.TLSIntercept
	default:
		cannotDrop("there is no " + overVariable + "=" + how)
	}
	hosts, egress := tlstest.New(fatal{}), tlstest.New(fatal{})
	issuer := egress.Issuer(nil)
	o.server = &tls.Config{Certificates: []tls.Certificate{*hosts.Issue(nil, apiHost)}, NextProtos: []string{tlslayer.HTTP2, tlslayer.HTTP1}}
	o.client = &tls.Config{RootCAs: egress.Pool(), ServerName: apiHost, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	o.roots = &policy.Roots{Name: "over", Certificates: [][]byte{hosts.Root().Raw}}
	o.issuer = &policy.KeyPair{Name: policy.IssuerName, Chain: issuer.Certificate, Key: tlstest.Key(fatal{}, issuer)}
	http2test.Over = o.accept
}

// bindings returns bindings as they are installed: those that know nothing of TLS go over it, and where the agent speaks TLS anyway pods may, too.
func (o *overTLS) bindings(all []policy.Binding) []policy.Binding {
	if o.mode == policy.TLSPassthrough {
		return all
	}
	out := make([]policy.Binding, len(all))
	for i, b := range all {
		opaque := b.To.Protocol == policy.ProtocolTCP || b.To.Protocol == policy.ProtocolTLS
		switch {
		case b.To.TLS.Mode == policy.TLSOriginate && o.mode == policy.TLSIntercept:
			b.To.TLS.Mode, b.To.TLS.Issuer = policy.TLSIntercept, policy.IssuerName
		case b.To.TLS.Mode == policy.TLSPassthrough && !opaque:
			b.To.TLS = policy.TLS{Mode: o.mode, Roots: o.roots.Name, ServerName: apiHost}
			if o.mode == policy.TLSIntercept {
				b.To.TLS.Issuer = policy.IssuerName
			}
			if o.mode == policy.TLSIntercept && b.To.Kind == policy.TargetAny { // which names no host
				b.To.Kind, b.To.Host = policy.TargetHost, "*"
			}
		}
		out[i] = b
	}
	return out
}

// complete adds what the bindings of the run refer to.
func (o *overTLS) complete(s *policy.Snapshot) {
	if o.mode == policy.TLSPassthrough {
		return
	}
	s.Roots, s.KeyPairs = maps.Clone(s.Roots), maps.Clone(s.KeyPairs)
	if s.Roots == nil {
		s.Roots = map[string]*policy.Roots{}
	}
	s.Roots[o.roots.Name] = o.roots
	if s.KeyPairs == nil {
		s.KeyPairs = map[string]*policy.KeyPair{}
	}
	if s.KeyPairs[policy.IssuerName] == nil {
		s.KeyPairs[policy.IssuerName] = o.issuer
	}
}

// accept is a server's side of a connection.
func (o *overTLS) accept(c net.Conn) net.Conn {
	if o.mode == policy.TLSPassthrough {
		return c
	}
	return tls.Server(c, o.server)
}

// secure is a client's side of a connection, for an application protocol. Where it matters tests of HTTP/1.1 call apiHost, and those of HTTP/2
// another host.
func (o *overTLS) secure(c net.Conn, protocol string) (net.Conn, error) {
	if o.mode != policy.TLSIntercept {
		return c, nil
	}
	config := o.client.Clone()
	config.NextProtos = []string{protocol}
	if protocol == tlslayer.HTTP2 {
		config.ServerName = "up.example"
	}
	s := tls.Client(c, config)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("the client's handshake: %w", err)
	}
	return s, nil
}

// dialing is net.Dialer.DialContext to the proxy, whatever is asked for, for clients of HTTP/2.
func (w *testProxy) dialing(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.captured.Addr().String())
	if err != nil {
		return nil, err
	}
	return over.secure(c, tlslayer.HTTP2)
}

// stream is a connection of a test, with TLS on it if the run has that.
type stream struct {
	*net.TCPConn
	tls    *tls.Conn // nil: none
	abrupt bool      // closing resets it
}

// put puts on it what the run has, of which c is.
func (s *stream) put(c net.Conn) { s.tls, _ = c.(*tls.Conn) }

// conn is what is read and written.
func (s *stream) conn() net.Conn {
	if s.tls != nil {
		return s.tls
	}
	return s.TCPConn
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) { return s.conn().Read(p) }

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) { return s.conn().Write(p) }

// ReadFrom implements io.ReaderFrom.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	if s.tls == nil {
		return s.TCPConn.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{s.tls}, r)
}

// WriteTo implements io.WriterTo.
func (s *stream) WriteTo(w io.Writer) (int64, error) {
	if s.tls == nil {
		return s.TCPConn.WriteTo(w)
	}
	return io.Copy(w, struct{ io.Reader }{s.tls})
}

// SetLinger is that of net.TCPConn.
func (s *stream) SetLinger(seconds int) error {
	s.abrupt = seconds == 0
	return s.TCPConn.SetLinger(seconds)
}

// CloseWrite ends the writing side, which TLS announces.
func (s *stream) CloseWrite() error {
	if s.tls != nil {
		_ = s.tls.CloseWrite() // fails where the socket does
	}
	return s.TCPConn.CloseWrite()
}

// Close implements io.Closer. An end that is no reset is announced.
func (s *stream) Close() error {
	if s.tls != nil && !s.abrupt {
		_ = s.tls.CloseWrite()
	}
	return s.TCPConn.Close()
}

// overListener accepts a server's connections. Where the run has TLS, the server finds the protocol inside by its preface.
type overListener struct{ net.Listener }

// Accept implements net.Listener.
func (l overListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{over.accept(c)}, nil
}
