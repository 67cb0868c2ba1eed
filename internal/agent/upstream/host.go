package upstream

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Host is one endpoint of a Cluster, for all pods of the node.
type Host struct {
	// immutable
	addr netip.AddrPort
	id   int // small, and of no other host of its cluster at the same time

	// atomic
	departed atomic.Bool // not among its cluster's hosts any more; calls under way go on, nothing is kept
	failing  atomic.Bool // there are failures

	_           [64]byte // what all calls of the node write is not on the cache line of what they read
	outstanding atomic.Int32
	_           [64]byte

	mu sync.Mutex
	// guarded by mu
	failures failures
	refused  time.Time // when a refused connect was counted last
}

// Addr is where the host is.
func (h *Host) Addr() netip.AddrPort { return h.addr }

// report counts how an exchange ended. A success at a host without failures takes no lock.
func (h *Host) report(now time.Time, failed bool) {
	if !failed && !h.failing.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures.count(now, failed)
	h.failing.Store(h.failures != failures{})
}

// reportRefused counts a refused connect as a failure. Those that are under way together, of however many pods, count as one.
func (h *Host) reportRefused(now time.Time) {
	h.mu.Lock()
	known := now.Sub(h.refused) < minOutage/2
	if !known {
		h.refused = now
	}
	h.mu.Unlock()
	if !known {
		h.report(now, true)
	}
}

// HostState is how a host stands, for whoever looks into an agent.
type HostState struct {
	Address netip.AddrPort
	// Outstanding is how many calls are under way to it, and FailureWeight how many its failures weigh as much as when hosts are compared.
	Outstanding   int
	FailureWeight float64
}

// Hosts tells how the hosts of the cluster stand, ordered by address.
func (c *Cluster) Hosts(now time.Time) []HostState {
	var all []HostState
	for _, h := range c.hosts.Load().byAddr {
		n := int(h.outstanding.Load())
		all = append(all, HostState{h.addr, n, max(h.load(now)-float64(n), 0)})
	}
	slices.SortFunc(all, func(a, b HostState) int { return a.Address.Compare(b.Address) })
	return all
}

// load is the number of calls under way to the host, and what its failures weigh.
func (h *Host) load(now time.Time) float64 {
	n := float64(h.outstanding.Load())
	if !h.failing.Load() {
		return n
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return n + h.failures.weightAt(now)
}
