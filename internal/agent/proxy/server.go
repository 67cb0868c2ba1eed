package proxy

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/h1"
	"fairlead.dev/fairlead/internal/agent/proxy/h2"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/proxy/tunnel"
	"fairlead.dev/fairlead/internal/agent/proxy/turns"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// Defaults of Options.
const (
	DefaultMaxConnections       = 100_000
	DefaultMaxConnectionsPerPod = 50_000
	DefaultReplayMemory         = 64 << 20
	DefaultHeadMemory           = 64 << 20
)

// MaxRead is how much of a connection may have been read before it is served.
const MaxRead = http1.MaxPreload

// Passed says why a connection was passed through without being understood.
type Passed uint8

// The reasons.
const (
	// PassedDeclared: the policy declares a protocol that is not HTTP/1.
	PassedDeclared Passed = iota
	// PassedUnmatched: no policy governs it, or the first request on it.
	PassedUnmatched
	// PassedTLS and PassedOther: what the first bytes showed.
	PassedTLS
	PassedOther
	// PassedShed: the agent or the pod has more connections than it may have.
	PassedShed
	// PassedDistrust: its TLS was to end here, and the pod does not trust that. PassedNoIssuer: the node cannot do it.
	PassedDistrust
	PassedNoIssuer
	// PassedCount is the number of reasons.
	PassedCount
)

var passedNames = [PassedCount]string{"declared", "unmatched", "tls", "other", "shed", "tls_not_trusted", "tls_no_issuer"}

// String returns the reason as metrics show it.
func (p Passed) String() string { return passedNames[min(p, PassedCount-1)] }

// Events receives what happens to connections. Its methods must not block.
type Events interface {
	// Opened and Closed count captured connections.
	Opened()
	Closed()
	// Passed counts a connection that is passed through.
	Passed(why Passed)
	// Malformed reports a request that was refused for breaking the protocol. It must not keep the bytes.
	Malformed(r drive.Refused)
	// Flooded counts a connection, or a stream of HTTP/2, that was ended because its peer did too much of something.
	Flooded(from drive.Side, f drive.Flood)
	// Panicked reports a panic while serving a connection, which was closed.
	Panicked(pod string, what any, stack []byte)
}

// Options configure a Server. Store is required; zero limits mean the defaults.
type Options struct {
	Store                *routes.Table
	Events               Events
	MaxConnections       int
	MaxConnectionsPerPod int
	ReplayMemory         int64
	// HeadMemory is for heads of HTTP/1 that are larger than 4 KiB, in bytes.
	HeadMemory int64

	// for tests, instead of the constants
	sniffDelay, headTimeout, lingerFor, stragglerFor, connect, closedAtOnce time.Duration
	buffers                                                                 int64
}

// Server serves captured connections.
type Server struct {
	// immutable after New
	store    *routes.Table
	events   Events
	limit    int
	podLimit int
	replay   *resilience.Memory
	heads    *resilience.Memory
	turns    turns.Turns
	watches  drive.Watches
	defaults policy.Settings // for what no policy governs
	h1       *h1.Driver
	h2       *h2.Driver
	poller   *transport.Poller // for tunnels
	// connector connects what is passed through under a policy.
	connector tunnel.Connector
	// sniffDelay is how long a client may be silent before its server is connected to.
	sniffDelay time.Duration
	// closedAtOnce is how soon a client closes that does not accept the certificate.
	closedAtOnce time.Duration

	// atomic
	draining atomic.Bool
	clients  atomic.Uint64 // numbers the connections

	mu sync.Mutex
	// guarded by mu
	connections map[*connection]struct{}
	perPod      map[string]*podState
	closed      bool
	done        chan struct{} // closed when closed and no connection is left
}

// New returns a Server.
func New(o Options) (*Server, error) {
	if o.Store == nil {
		return nil, errors.New("proxy: no store")
	}
	if o.Events == nil {
		o.Events = silence{}
	}
	s := &Server{
		store: o.Store, events: o.Events, limit: orDefault(o.MaxConnections, DefaultMaxConnections),
		podLimit:   orDefault(o.MaxConnectionsPerPod, DefaultMaxConnectionsPerPod),
		replay:     resilience.NewMemory(orDefault(o.ReplayMemory, int64(DefaultReplayMemory))),
		heads:      resilience.NewMemory(orDefault(o.HeadMemory, int64(DefaultHeadMemory))),
		sniffDelay: orDefault(o.sniffDelay, detect.MaxDelay), closedAtOnce: orDefault(o.closedAtOnce, closedAtOnce),
		defaults:    policy.Defaults(),
		connections: map[*connection]struct{}{}, perPod: map[string]*podState{}, done: make(chan struct{}),
	}
	err := s.turns.Init()
	if err != nil {
		return nil, err
	}
	if s.poller, err = transport.NewPoller(); err != nil {
		return nil, err
	}
	s.defaults.Timeouts.Connect = orDefault(o.connect, s.defaults.Timeouts.Connect)
	s.connector.ConnectTimeout = s.defaults.Timeouts.Connect
	s.h1 = h1.New(h1.Options{
		Poller: s.poller, Malformed: s.events.Malformed, Draining: s.draining.Load, Panicked: s.events.Panicked,
		HeadTimeout: o.headTimeout, LingerFor: o.lingerFor, StragglerFor: o.stragglerFor,
	})
	s.h2 = h2.New(h2.Options{
		Malformed: s.events.Malformed, Draining: s.draining.Load, Panicked: s.events.Panicked, ConnectTimeout: s.defaults.Timeouts.Connect,
		Buffers: o.buffers, HeadTimeout: o.headTimeout, Flooded: s.events.Flooded,
	})
	return s, nil
}

// Watches is where who wants to watch a call says so.
func (s *Server) Watches() *drive.Watches { return &s.watches }

func orDefault[T ~int | ~int64](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// ReplayMemory accounts for request bodies stored for retries.
func (s *Server) ReplayMemory() *resilience.Memory { return s.replay }

// ServeCaptured serves one connection of a pod that was on its way to original. It owns conn and blocks until it is done with it.
func (s *Server) ServeCaptured(podUID string, conn transport.Socket, original netip.AddrPort) {
	if c, shed := s.accept(podUID, conn, original); c != nil {
		c.run(shed)
	}
}

// ServeRead is ServeCaptured for a connection of which the beginning was read already, at most MaxRead bytes: by who had to know where it was
// on its way to.
func (s *Server) ServeRead(podUID string, conn transport.Socket, original netip.AddrPort, read []byte) {
	if c, shed := s.accept(podUID, conn, original); c != nil {
		c.prepare()
		c.session.Preload(read)
		c.run(shed)
	}
}

// accept registers a connection, or closes it. shed says that it exceeds a limit and is to be passed through.
func (s *Server) accept(podUID string, conn transport.Socket, original netip.AddrPort) (c *connection, shed bool) {
	client, err := transport.New(conn)
	if err != nil {
		_ = conn.Close()
		return nil, false // closed already
	}
	c = &connection{srv: s, client: drive.Client{
		ID: s.clients.Add(1), Conn: client,
		Origin: route.Origin{Table: s.store, Pod: podUID, Original: netip.AddrPortFrom(original.Addr().Unmap(), original.Port())},
	}}
	c.client.Activity.RestedAt(time.Now())
	shed, ok := s.enter(c)
	if !ok {
		_ = client.Close()
		return nil, false
	}
	client.TakeTurns(c.client.Share.Turn)
	c.client.Share.Turns.Enter() // not in ServeCaptured, whose frame stays
	return c, shed
}

type silence struct{}

func (silence) Opened()                         {}
func (silence) Closed()                         {}
func (silence) Passed(Passed)                   {}
func (silence) Malformed(drive.Refused)         {}
func (silence) Flooded(drive.Side, drive.Flood) {}
func (silence) Panicked(string, any, []byte)    {}
