package proxy

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// Defaults of Options.
const (
	DefaultMaxConnections       = 100_000
	DefaultMaxConnectionsPerPod = 50_000
	DefaultReplayMemory         = 64 << 20
	// headTimeout bounds how long a request head takes from its first byte (rule 30).
	headTimeout = 10 * time.Second
)

// Passed says why a connection was passed through without being understood.
type Passed uint8

// The reasons.
const (
	// PassedDeclared: the policy declares a protocol that is not HTTP/1.
	PassedDeclared Passed = iota
	// PassedUnmatched: no policy governs it, or the first request on it.
	PassedUnmatched
	// PassedTLS, PassedHTTP2 and PassedOther: what the first bytes showed.
	PassedTLS
	PassedHTTP2
	PassedOther
	// PassedShed: the agent or the pod has more connections than it may have.
	PassedShed
	// PassedCount is the number of reasons.
	PassedCount
)

var passedNames = [PassedCount]string{"declared", "unmatched", "tls", "http2", "other", "shed"}

// String returns the reason as metrics show it.
func (p Passed) String() string { return passedNames[min(p, PassedCount-1)] }

// Events are what happens to connections. Its methods must not block.
type Events interface {
	// Opened and Closed count captured connections.
	Opened()
	Closed()
	// Passed tells of a connection that is passed through.
	Passed(why Passed)
	// Malformed tells of a request that was refused for breaking the protocol. It must not keep the bytes.
	Malformed(r Refused)
	// Panicked tells that serving a connection failed by a mistake of ours; the connection was closed.
	Panicked(pod string, what any, stack []byte)
}

// Refused is a request that was refused for breaking the protocol.
type Refused struct {
	Pod      string // UID
	Original netip.AddrPort
	Status   int
	// Reason is one of a closed set of sentences, which never quote the request.
	Reason string
	// Method, Host and Path are the request's if its head could be read. They are valid while it is told of.
	Method, Host, Path []byte
}

// Options configure a Server. Store is required; zero limits mean the defaults.
type Options struct {
	Store                *routes.Table
	Events               Events
	MaxConnections       int
	MaxConnectionsPerPod int
	ReplayMemory         int64

	// for tests: how long silence is suffered, and what no policy governs may take to connect, instead of the constants
	sniffDelay, headTimeout, lingerFor, connect time.Duration
}

// Server serves captured connections.
type Server struct {
	// immutable after New
	store     *routes.Table
	events    Events
	limit     int
	podLimit  int
	replay    *resilience.ReplayMemory
	defaults  policy.Settings // for what no policy governs
	exchanges sync.Pool
	// how long a client's silence is suffered: before the server is connected to, within a head, and behind the last response
	sniffDelay, headTimeout, lingerFor time.Duration
	epoch                              time.Time // that times of sessions are counted from

	// atomic
	draining atomic.Bool
	clients  atomic.Uint64 // numbers the sessions

	mu sync.Mutex
	// guarded by mu
	sessions map[*session]struct{}
	perPod   map[string]int
	closed   bool
	done     chan struct{} // closed when closed and no session is left
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
		podLimit:    orDefault(o.MaxConnectionsPerPod, DefaultMaxConnectionsPerPod),
		replay:      resilience.NewReplayMemory(orDefault(o.ReplayMemory, int64(DefaultReplayMemory))),
		sniffDelay:  orDefault(o.sniffDelay, detect.MaxDelay),
		headTimeout: orDefault(o.headTimeout, headTimeout),
		lingerFor:   orDefault(o.lingerFor, lingerFor),
		epoch:       time.Now(),
		defaults:    policy.Defaults(),
		sessions:    map[*session]struct{}{}, perPod: map[string]int{}, done: make(chan struct{}),
	}
	s.defaults.Timeouts.Connect = orDefault(o.connect, s.defaults.Timeouts.Connect)
	s.exchanges.New = func() any { return newExchange(s) }
	return s, nil
}

func orDefault[T ~int | ~int64](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// ReplayMemory is the account of request bodies kept for retries.
func (s *Server) ReplayMemory() *resilience.ReplayMemory { return s.replay }

// ServeCaptured serves one connection of a pod that was on its way to original. It owns conn and blocks until it is done with it.
func (s *Server) ServeCaptured(podUID string, conn *net.TCPConn, original netip.AddrPort) {
	defer func() { _ = conn.Close() }()
	client, err := transport.New(conn)
	if err != nil {
		return // closed already
	}
	ss := &session{srv: s, id: s.clients.Add(1), pod: podUID, client: client, original: netip.AddrPortFrom(original.Addr().Unmap(), original.Port())}
	ss.restedAt(time.Now())
	shed, ok := s.enter(ss)
	if !ok {
		return
	}
	defer s.leave(ss)
	ss.serve(shed)
}

type silence struct{}

func (silence) Opened()                      {}
func (silence) Closed()                      {}
func (silence) Passed(Passed)                {}
func (silence) Malformed(Refused)            {}
func (silence) Panicked(string, any, []byte) {}
