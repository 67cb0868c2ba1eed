package upstream

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Options configure a Pool.
type Options struct {
	Cluster *Cluster
	Dialer  Dialer
	Limits  policy.Pool
	// Security secures the connections; nil: they are plain.
	Security Security
	// Affinity is the pod's to the destination. It is needed where the cluster may come to have one.
	Affinity *Affinity
	// Proxy, if not nil, is the one that the cluster's name stands for: calls go through it, wherever their clients were going.
	Proxy Proxy
	// ByName: calls go to the addresses of the cluster's name, wherever their clients were going. With a Proxy they do anyway.
	ByName bool
	// Random returns uniform random numbers; nil means math/rand/v2.
	Random func() uint64
}

// Pool holds the connections of one pod to one cluster.
type Pool struct {
	// immutable after NewPool
	cluster *Cluster
	dialer  Dialer
	random  func() uint64
	// affinity is shared by the pod's pools for the destination; its lock is taken last
	affinity *Affinity
	byName   bool // see Options

	mu sync.Mutex
	// guarded by mu
	limits     policy.Pool
	security   Security
	proxy      Proxy         // nil: calls go directly, and always will
	set        *HostSet      // the cluster's hosts, as sync saw them last
	cursor     [families]int // of round robin: the index of the host used last
	listed     []*hostConns  // of the cluster's hosts that were used, by Host.id
	known      int           // how many of listed are not nil
	unlisted   map[netip.AddrPort]*hostConns
	last       *hostConns   // what at found last
	withIdle   []*hostConns // those with idle connections
	down       []*hostConns // those with an outage
	candidates candidates   // of the choice under way
	waiting    waiting
	changed    bool       // hosts may be open to parked requests that were not when all were looked at last, at lookedAll
	exhausted  bool       // no connection could be made to any host when parked requests were looked at last
	lookedAll  time.Time  // when all hosts were looked at for parked requests
	freed      *hostConns // while parked requests are looked at: the host that has become open to them, if it is one
	onlyFreed  bool       // no other host has
	open       int        // connections, those being dialled included
	idle       int
	shared     int // connections in use that can take more
	looked     int // where sweeps look next whether idle connections are still fit
	closed     bool
}

// NewPool returns a pool without connections.
func NewPool(o Options) (*Pool, error) {
	if o.Dialer == nil || o.Cluster == nil {
		return nil, errors.New("upstream: a pool needs a dialer and a cluster")
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	p := &Pool{
		cluster: o.Cluster, dialer: o.Dialer, random: o.Random, proxy: o.Proxy, affinity: o.Affinity, limits: o.Limits, security: o.Security,
		byName: o.ByName || o.Proxy != nil, set: o.Cluster.hosts.Load(), unlisted: map[netip.AddrPort]*hostConns{},
	}
	p.candidates.pool = p
	for f := range p.cursor { // pods start their rounds at different hosts
		p.cursor[f] = int(p.random() % uint64(max(len(p.set.byFamily[f]), 1)))
	}
	return p, nil
}

// Stats are a pool's gauges.
type Stats struct {
	Active  int // connections in use, those being dialled included
	Idle    int
	Waiting int // requests
}

// Stats returns the gauges as they are now.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Active: p.open - p.idle, Idle: p.idle, Waiting: p.waiting.len}
}
