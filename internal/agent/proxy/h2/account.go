package h2

import (
	"sync"
	"sync/atomic"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// maxShare is the part of the node's memory that a pod may take however little the others do: one of so many.
const maxShare = 4

// account counts the memory that all connections together hold: heads of open streams, what the other side of a stream does not take, what
// was received of a frame, and what waits to be written.
type account struct {
	limit int64 // immutable

	// atomic
	used    atomic.Int64
	sharers atomic.Int64 // len(pods)
	spare   atomic.Int64 // of used, what is kept for streams to come

	mu   sync.Mutex
	pods map[string]*podAccount // guarded by mu; those that have connections
}

// podAccount counts what the connections of one pod hold. What it says depends on others only as long as the pod holds more than an equal
// part of the whole: so one pod's doings cost no other pod's calls.
type podAccount struct {
	// immutable
	node *account
	pod  string

	// atomic
	used  atomic.Int64
	spare atomic.Int64 // of used, what is kept for streams to come: nothing is refused for that

	conns int // guarded by node.mu
}

// of returns the account of a pod for one more connection, which gives it back by leave.
func (a *account) of(pod string) *podAccount {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pods[pod]
	if p == nil {
		if a.pods == nil {
			a.pods = map[string]*podAccount{}
		}
		p = &podAccount{node: a, pod: pod}
		a.pods[pod] = p
		a.sharers.Add(1)
	}
	p.conns++
	return p
}

func (p *podAccount) leave() {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	if p.conns--; p.conns == 0 {
		delete(p.node.pods, p.pod)
		p.node.sharers.Add(-1)
	}
}

func (p *podAccount) add(n int) {
	if n != 0 {
		p.used.Add(int64(n))
		p.node.used.Add(int64(n))
	}
}

// short reports whether the pod's peers are allowed no more on their connections for what is kept of what they have sent. Nothing is refused for
// that, since they were allowed to send what they have sent.
func (p *podAccount) short() bool { return p.exceeds(p.node.limit) }

// exhausted reports whether the pod has gone on to take memory, for which it needs many connections: its streams are refused and ended.
func (p *podAccount) exhausted() bool { return p.exceeds(2 * p.node.limit) }

// overrun reports whether even that has not stopped it: heads that have only begun end their connections.
func (p *podAccount) overrun() bool { return p.exceeds(4 * p.node.limit) }

// crowded reports whether nothing may be kept for streams to come any more: what is kept for them and what is in use are together as much as
// peers are allowed.
func (p *podAccount) crowded() bool {
	return p.beyond(p.node.limit, p.used.Load(), p.node.used.Load())
}

// part is what a connection may hold when the pod has no more memory: an equal part of what the pod may hold.
func (p *podAccount) part() int {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	return int(2*p.node.limit/max(maxShare, p.node.sharers.Load())) / max(p.conns, 1)
}

func (p *podAccount) exceeds(limit int64) bool {
	return p.beyond(limit, p.used.Load()-p.spare.Load(), p.node.inUse())
}

// beyond compares what the pod and the node hold with a limit for the node.
func (p *podAccount) beyond(limit, pod, node int64) bool {
	return pod > limit/maxShare || node > limit && pod > limit/max(p.node.sharers.Load(), 1)
}

// setAside notes that n bytes that are accounted for are kept for streams to come from now on; negative: no more.
func (p *podAccount) setAside(n int) {
	p.spare.Add(int64(n))
	p.node.spare.Add(int64(n))
}

// inUse is what is held and not kept for streams to come.
func (a *account) inUse() int64 { return a.used.Load() - a.spare.Load() }

// open makes a connection's window as large as it is to be, as long as there is memory.
func (p *podAccount) open(w *http2.ReceiveWindow) (increment uint32) {
	if w.Size() >= connWindow || p.short() {
		return 0
	}
	return w.Grow(connWindow)
}
