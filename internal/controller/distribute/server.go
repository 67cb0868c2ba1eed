package distribute

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"fairlead.dev/fairlead/internal/wire"
)

// Bounds on what peers may do to the server, known or not.
const (
	// maxStreamsPerConnection is enough for both streams of an agent and for those they replace.
	maxStreamsPerConnection = 8
	maxHeaderBytes          = 32 << 10 // the token is the only large header
	handshakeTimeout        = 10 * time.Second
	idleConnection          = time.Minute // a connection without streams is closed after this
	// noReadBuffer has frames read from the TLS connection itself, which holds what it has decrypted; another buffer would be one more for each
	// of thousands of connections. writeBuffer is borrowed for a write.
	noReadBuffer = 0
	writeBuffer  = 8 << 10
	// window is how much of an agent's messages may be on its way. Being fixed, it spares the pings that gRPC measures the connection with, one
	// and its answer for every message after a pause: half of all packets. Acknowledgements and reports are small.
	window        = 64 << 10
	pingInterval  = 20 * time.Second
	pingTimeout   = 10 * time.Second
	minClientPing = 10 * time.Second
	stopGrace     = 2 * time.Second // for streams to end when the server stops
)

// ServerOptions configure a Server.
type ServerOptions struct {
	Store         *Store
	Authenticator Authenticator
	// Certificate returns the serving certificate in force.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// AckTimeout is how long an agent may take for an update, its transfer included. Default 30 s.
	AckTimeout time.Duration
	// HelloTimeout is how long an agent may take to say what it holds. Default 10 s.
	HelloTimeout time.Duration
	// MaxConnections bounds open connections; more wait to be accepted. Default 10,000.
	MaxConnections int
	Logger         *slog.Logger // default: discard
}

// Server serves the store to agents.
type Server struct {
	opts ServerOptions // immutable after NewServer
	wg   sync.WaitGroup
}

var _ wire.Server = (*Server)(nil)

// NewServer returns a server that Run starts.
func NewServer(opts ServerOptions) (*Server, error) {
	if opts.Store == nil || opts.Authenticator == nil || opts.Certificate == nil {
		return nil, errors.New("distribute: a server needs a store, an authenticator and a certificate")
	}
	if opts.AckTimeout == 0 {
		opts.AckTimeout = 30 * time.Second
	}
	if opts.HelloTimeout == 0 {
		opts.HelloTimeout = 10 * time.Second
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = 10_000
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{opts: opts}, nil
}

// Run serves on l, which it closes, until ctx ends. It runs on every replica; agents are served while the store is serving.
func (v *Server) Run(ctx context.Context, l net.Listener) error {
	g := v.grpcServer()
	wire.Register(g, v)
	ctx, cancel := context.WithCancel(ctx)
	defer v.wg.Wait()
	defer cancel()
	v.wg.Go(func() { v.opts.Store.run(ctx) })
	v.wg.Go(func() { v.opts.Store.runBreakers(ctx) })
	served := make(chan error, 1)
	v.wg.Go(func() {
		served <- g.Serve(netutil.LimitListener(servingListener{l, v.opts.Store.Serving()}, v.opts.MaxConnections))
	})
	select {
	case err := <-served:
		g.Stop()
		return fmt.Errorf("serve agents: %w", err)
	case <-ctx.Done():
	}
	v.opts.Store.Serving().Stop()
	force := time.AfterFunc(stopGrace, g.Stop)
	g.GracefulStop()
	force.Stop()
	return nil
}

func (v *Server) grpcServer() *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: v.opts.Certificate})),
		grpc.StreamInterceptor(v.admit),
		grpc.MaxConcurrentStreams(maxStreamsPerConnection),
		grpc.MaxRecvMsgSize(wire.MaxMessage),
		grpc.MaxSendMsgSize(wire.MaxMessage),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ReadBufferSize(noReadBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleConnection, Time: pingInterval, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
	)
}
