package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// PodPort reaches a loopback port of a pod through the API server, by the pod's portforward subresource, with the rights of who runs the command
// (create on pods/portforward). Nothing listens on this machine. It is safe for concurrent use.
type PodPort struct {
	namespace, pod string
	port           uint16
	dial           httpstream.Dialer

	dialing sync.Mutex // held while the API server is dialled, so that Close need not wait for it
	mu      sync.Mutex
	// guarded by mu
	conn   httpstream.Connection // to the API server, that all connections to the pod share; nil: there is none yet
	last   int                   // request
	closed bool
}

// PodPort returns what reaches a port of a pod. Close ends its connections.
func (e *Env) PodPort(namespace, pod string, port uint16) (*PodPort, error) {
	config, err := e.Config()
	if err != nil {
		return nil, err
	}
	return newPodPort(config, namespace, pod, port)
}

func newPodPort(config *rest.Config, namespace, pod string, port uint16) (*PodPort, error) {
	to, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	to = to.JoinPath("api/v1/namespaces", namespace, "pods", pod, "portforward")
	dial, err := dialer(config, to)
	if err != nil {
		return nil, fmt.Errorf("reach pod %s/%s: %w", namespace, pod, err)
	}
	return &PodPort{namespace: namespace, pod: pod, port: port, dial: dial}, nil
}

// dialer speaks over a WebSocket, or SPDY where the API server or a proxy before it knows no better, as kubectl port-forward does.
func dialer(config *rest.Config, to *url.URL) (httpstream.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	current, err := portforward.NewSPDYOverWebsocketDialerForStreaming(to, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(current, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// Client returns an HTTP client whose connections all go to the port, whatever the host of a request is.
func (p *PodPort) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx) },
		// Environment variables that name a proxy are for the API server.
		Proxy: nil, DisableCompression: true,
	}}
}

// Dial returns a new connection to the port.
func (p *PodPort) Dial(ctx context.Context) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		c, err := p.connect()
		done <- dialled{c, err}
	}()
	select {
	case d := <-done:
		return d.conn, d.err
	case <-ctx.Done():
		go func() { // the library takes no context: what comes of it is closed
			if d := <-done; d.conn != nil {
				_ = d.conn.Close()
			}
		}()
		return nil, fmt.Errorf("reach pod %s/%s: %w", p.namespace, p.pod, ctx.Err())
	}
}

func (p *PodPort) connect() (net.Conn, error) {
	conn, request, err := p.shared()
	if err != nil {
		return nil, Explain(err, fmt.Sprintf("reach pod %s/%s through the API server", p.namespace, p.pod))
	}
	c, err := open(conn, p.port, request)
	if err != nil {
		p.lost(conn)
		return nil, fmt.Errorf("reach port %d of pod %s/%s: %w", p.port, p.namespace, p.pod, err)
	}
	return c, nil
}

// shared returns the connection to the API server, and a number for a request.
func (p *PodPort) shared() (httpstream.Connection, int, error) {
	p.dialing.Lock()
	defer p.dialing.Unlock()
	if conn, n := p.open(); conn != nil {
		return conn, n, nil
	}
	conn, protocol, err := p.dial.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, 0, err
	}
	if protocol != portforward.PortForwardProtocolV1Name {
		_ = conn.Close()
		return nil, 0, fmt.Errorf("the API server speaks %q", protocol)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = conn.Close()
		return nil, 0, net.ErrClosed
	}
	p.last++
	p.conn = conn
	return conn, p.last, nil
}

// open returns the connection to the API server and a number for a request; nil: there is none that is open.
func (p *PodPort) open() (httpstream.Connection, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil, 0
	}
	select {
	case <-p.conn.CloseChan():
		p.conn = nil
		return nil, 0
	default:
		p.last++
		return p.conn, p.last
	}
}

func (p *PodPort) lost(conn httpstream.Connection) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == conn {
		p.conn = nil
	}
}

// Close ends the connections. One that is being made ends when it has been made.
func (p *PodPort) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close()
	p.conn = nil
	return err
}

// stream is a connection to the port of the pod: a pair of streams, one of which says why there is an end.
type stream struct {
	httpstream.Stream
	shared httpstream.Connection
	errors httpstream.Stream
	failed chan struct{} // closed when the server has said all that it says about errors
	why    atomic.Pointer[string]
	once   sync.Once
}

func open(conn httpstream.Connection, port uint16, request int) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(request))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	failures, err := conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	_ = failures.Close() // nothing is written to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		conn.RemoveStreams(failures)
		return nil, err
	}
	s := &stream{Stream: data, shared: conn, errors: failures, failed: make(chan struct{})}
	go s.readErrors()
	return s, nil
}

// maxWhy bounds what is read of why a connection has failed.
const maxWhy = 4096

func (s *stream) readErrors() {
	defer close(s.failed)
	if text, err := io.ReadAll(io.LimitReader(s.errors, maxWhy)); err == nil && len(text) > 0 {
		why := string(text)
		s.why.Store(&why)
		_ = s.Reset()
	}
}

// Read implements net.Conn.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if why := s.why.Load(); err != nil && why != nil {
		return n, errors.New(*why)
	}
	return n, err
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.once.Do(func() {
		_ = s.Stream.Close()
		_ = s.Reset()
		_ = s.errors.Reset()
		s.shared.RemoveStreams(s.Stream, s.errors)
	})
	return nil
}

// address is that of a stream, which has none.
type address struct{}

func (address) Network() string { return "portforward" }
func (address) String() string  { return "pod" }

// LocalAddr implements net.Conn.
func (s *stream) LocalAddr() net.Addr { return address{} }

// RemoteAddr implements net.Conn.
func (s *stream) RemoteAddr() net.Addr { return address{} }

// SetDeadline implements net.Conn. Streams have no deadlines: requests end with their context, which closes the stream.
func (s *stream) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (s *stream) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
