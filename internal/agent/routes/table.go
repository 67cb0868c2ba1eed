package routes

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Options configure a Table.
type Options struct {
	// Dialer returns what makes connections for a pod. It is asked when a pod's first call to a destination arrives.
	Dialer func(podUID string) upstream.Dialer
	// Node is the name of this node.
	Node string
	// Observer gets what calls did; nil discards it.
	Observer Observer
	// Names finds the addresses of host names; nil: calls go nowhere but to the address that their client chose.
	Names Names
	// ProxyNames finds the addresses of the proxies that policies name, so that pods, who decide how many other names are looked up, do not keep
	// others' proxies from being found; nil: Names does.
	ProxyNames Names
	// MaxDynamic replaces MaxDynamicDestinations; 0 means the constant.
	MaxDynamic int
	// Traces: spans of calls are exported. Without it calls are not traced, whatever their policy says.
	Traces bool
}

// Table holds the policies in force.
type Table struct {
	// immutable after New
	dialer     func(podUID string) upstream.Dialer
	node       string
	observer   Observer
	pools      *upstream.Pools
	maxDynamic int
	traces     bool
	names      Names // may be nil
	proxyNames Names // may be nil

	// atomic
	version    atomic.Uint64
	translated atomic.Uint32
	current    atomic.Pointer[version]
	issuer     atomic.Pointer[issuer]
	unissued   atomic.Int64 // a transport.Instant: since when there should be an issuer and is none; 0: there is no need, or one

	installing sync.Mutex // serialises Install; taken before mu
	// guarded by installing
	profiles map[string]*profile
	ranked   []*profile // those that pods use, the newest first
	installs uint64
	ends     ends // of faults, and of breakers that are kept open or closed by hand

	mu sync.Mutex // held for moments only: calls wait for it
	// guarded by mu
	bindings map[string]versions // of ranked, by key; written under both locks
	states   states
	entries  entries
	shared   *sharedLimits // the pointer is immutable
	// affinities are those of pods in force to Services' ports; pods' pools under all bindings share them
	affinities affinities
	verdicts   verdicts
	late       *[]*entry // made since an Install under way began; nil: there is none
}

// New returns a table without policies.
func New(o Options) (*Table, error) {
	if o.Dialer == nil {
		return nil, errors.New("routes: no dialer")
	}
	if o.Observer == nil {
		o.Observer = Discard{}
	}
	if o.MaxDynamic == 0 {
		o.MaxDynamic = MaxDynamicDestinations
	}
	if o.ProxyNames == nil {
		o.ProxyNames = o.Names
	}
	s := &Table{
		dialer: o.Dialer, node: o.Node, observer: o.Observer, pools: upstream.NewPools(), maxDynamic: o.MaxDynamic, names: o.Names,
		ends:       ends{},
		proxyNames: o.ProxyNames, traces: o.Traces, verdicts: verdicts{}, shared: newSharedLimits(),
		states: states{all: map[string]map[stateKey]*state{}}, entries: entries{pods: map[string]*podEntries{}},
		affinities: affinities{pods: map[string]map[string]*affinity{}, unused: map[*affinity]struct{}{}},
	}
	s.current.Store(&version{})
	return s, nil
}

// Dialer returns what makes connections for a pod.
func (s *Table) Dialer(podUID string) upstream.Dialer { return s.dialer(podUID) }

// Run keeps the pools tidy until ctx ends, then closes them.
func (s *Table) Run(ctx context.Context) error { return s.pools.Run(ctx) }

// Version changes with every Install; as long as it does not, Table returns the same.
func (s *Table) Version() uint64 { return s.version.Load() }

// PodRoutes returns the policy of a pod, or nil when nothing governs it.
func (s *Table) PodRoutes(podUID string) *PodRoutes { return s.current.Load().tables[podUID] }

// PodEnded closes the idle connections of a pod whose sandbox is gone: they would keep its network namespace alive. It does not
// wait for anything that concerns other pods.
func (s *Table) PodEnded(uid string) { s.pools.CloseIdle(uid) }
