package tlslayer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// The application protocols that a Server can be asked for.
const (
	HTTP1 = "http/1.1"
	HTTP2 = "h2"
)

// Client is who servers see and whom it trusts. It is immutable and can be shared. The zero value trusts nobody.
type Client struct {
	roots       *x509.CertPool
	certificate *tls.Certificate
	// lacks is why no connection can be made, if none can.
	lacks Reason
}

// NewClient returns a client that verifies servers with roots, and shows certificate to those that ask for one; nil: none.
func NewClient(roots *x509.CertPool, certificate *tls.Certificate) (*Client, error) {
	if roots == nil {
		return nil, errors.New("tlslayer: no roots")
	}
	return &Client{roots: roots, certificate: certificate}, nil
}

// Unable returns a client that connects to nobody, for a reason.
func Unable(why Reason) *Client { return &Client{lacks: why} }

// Server is a server as one client knows it. It keeps the last session for it, which nobody else resumes.
type Server struct {
	client   *Client
	name     string
	sessions sessions

	mu sync.Mutex
	// guarded by mu
	configs map[string]*tls.Config // by application protocols
}

// Server returns a server of a name, or of an address without a port, that no one has connected to yet.
func (c *Client) Server(name string) *Server { return &Server{client: c, name: name} }

// Client is whose server it is.
func (s *Server) Client() *Client { return s.client }

// Handshake does the handshake on a connection and puts the Layer on it. protocols are those that the server may choose from, HTTP1 or HTTP2 or
// both; one that chooses none is taken to speak HTTP1. It waits until the connection is interrupted.
func (s *Server) Handshake(c *transport.Conn, protocols ...string) error {
	config, err := s.config(protocols)
	if err != nil {
		return err
	}
	l := &Layer{socket: socket{conn: c, raw: c.Raw(), shaking: true}}
	l.tls = tls.Client(&l.socket, config)
	if err := l.shake(); err != nil {
		return err
	}
	if l.info.ALPN == "" && !slices.Contains(protocols, HTTP1) {
		l.Leave()
		return &Error{Reason: ALPN}
	}
	c.Secure(l)
	return nil
}

// config returns what a handshake goes by.
func (s *Server) config(protocols []string) (*tls.Config, error) {
	switch {
	case s.client.lacks != "":
		return nil, &Error{Reason: s.client.lacks}
	case s.client.roots == nil:
		return nil, &Error{Reason: NoRoots}
	case s.name == "":
		return nil, &Error{Reason: NoName}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.Join(protocols, " ")
	if config := s.configs[key]; config != nil {
		return config, nil
	}
	config := &tls.Config{
		ServerName: s.name, RootCAs: s.client.roots, NextProtos: slices.Clone(protocols),
		MinVersion: tls.VersionTLS12, Renegotiation: tls.RenegotiateNever,
		ClientSessionCache:          &s.sessions,
		DynamicRecordSizingDisabled: true, // every record of a body costs a system call
	}
	if cert := s.client.certificate; cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	if s.configs == nil {
		s.configs = map[string]*tls.Config{}
	}
	s.configs[key] = config
	return config, nil
}

// shake does the handshake.
func (l *Layer) shake() error {
	if err := l.tls.Handshake(); err != nil {
		return l.handshakeError(err)
	}
	l.socket.shaking = false
	state := l.tls.ConnectionState()
	l.info = transport.Info{ALPN: state.NegotiatedProtocol, ServerName: state.ServerName}
	if len(state.VerifiedChains) > 0 {
		l.info.Peer = state.PeerCertificates[0]
	}
	return nil
}

// handshakeError tells failures of TLS from those of the socket, which are returned as they are.
func (l *Layer) handshakeError(err error) error {
	if l.socket.alert == 0 && ofSocket(err) {
		return err
	}
	return newError(err, l.socket.alert)
}

// ofSocket reports whether an error is one that a socket ends with, or a wait for it.
func ofSocket(err error) bool {
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, transport.ErrInterrupted} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// sessions keeps the last session. It implements tls.ClientSessionCache for one server, so keys do not matter.
type sessions struct {
	mu   sync.Mutex
	last *tls.ClientSessionState // guarded by mu
}

// Get implements tls.ClientSessionCache.
func (s *sessions) Get(string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.last != nil
}

// Put implements tls.ClientSessionCache. crypto/tls takes a session that is no good out by putting nil.
func (s *sessions) Put(_ string, c *tls.ClientSessionState) {
	s.mu.Lock()
	s.last = c
	s.mu.Unlock()
}
