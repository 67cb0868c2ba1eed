package capture

import (
	"cmp"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// Defaults of Options.
const (
	// DefaultPort is where the agent listens in a pod, outside the range from which the kernel draws ports for connections and
	// away from those that service meshes use.
	DefaultPort = 14001
	// DefaultMark is on packets of the agent's own connections, inside the pod's namespace only.
	DefaultMark  = 0xfa1e
	DefaultLease = 3 * time.Second
	DefaultGrace = 30 * time.Second
	// descriptorsEach is how many descriptors a captured connection may need: its own, one upstream, and what pools keep.
	descriptorsEach = 3
)

// maxKernelSlots bounds the changes that wait for the kernel at the same time, each on an OS thread of its own.
const maxKernelSlots = 16

// Options configure a Manager. Host, Sandboxes, Handler, Log and Mechanism are required; zero values of the others are replaced by defaults.
type Options struct {
	Host      *netns.Host
	Sandboxes Sandboxes
	Handler   Handler
	// Listening returns what is called before each connection of a pod that is accepted, and may wait for the turn of the pod, and what is called when
	// none is accepted any more. By default nothing is waited for.
	Listening func(PodRef) (turn, done func())
	Log       *slog.Logger
	// Mechanism makes what redirects.
	Mechanism mechanism.New
	// OnEvent hears what happens, from many goroutines; it must not block.
	OnEvent func(Event)
	Port    uint16
	Mark    uint32
	// Lease is how long the kernel goes on redirecting without the agent; it is renewed three times as often.
	Lease time.Duration
	// Grace is how long a stop waits for connections to end.
	Grace time.Duration
	// Memory is what the agent may use of it. By default, nil, only running out of it counts.
	Memory Memory
	// MaxConnections is how many connections are served at once before new ones go direct. By default it is what the process's
	// limit of descriptors allows, at three each.
	MaxConnections int64

	countOlder func(ns *netns.Namespace, mark uint32, ipv6 bool, r intent.Redirect) ([]netip.AddrPort, error)
}

// withDefaults checks the options and completes them.
func (o Options) withDefaults() (Options, error) {
	if o.Host == nil || o.Sandboxes == nil || o.Handler == nil || o.Log == nil || o.Mechanism == nil {
		return o, errors.New("capture: host, sandboxes, handler, log and mechanism are required")
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.Listening == nil {
		o.Listening = func(PodRef) (turn, done func()) { return func() {}, func() {} }
	}
	if o.countOlder == nil {
		o.countOlder = olderConnections
	}
	o.Port = cmp.Or(o.Port, DefaultPort)
	o.Mark = cmp.Or(o.Mark, DefaultMark)
	o.Lease = cmp.Or(o.Lease, DefaultLease)
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	o.MaxConnections = cmp.Or(o.MaxConnections, affordableConnections())
	return o, nil
}

// affordableConnections is how many connections the limit of descriptors allows.
func affordableConnections() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt64 // then running out of descriptors is what counts
	}
	return max(1, int64(min(limit.Cur, math.MaxInt32))/descriptorsEach)
}
