package capture

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
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

// Options configure a Manager. Host, Sandboxes, Handler and Log are required; zero values of the others are replaced by defaults.
type Options struct {
	Host      *netns.Host
	Sandboxes Sandboxes
	Handler   Handler
	Log       *slog.Logger
	Mechanism Mechanism
	// OnEvent is told what happens, from many goroutines; it must not block.
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
}

// Manager keeps the doors of all captured pods. Make it with New, start it with Run, tell it what is wanted with Reconcile.
type Manager struct {
	// immutable after New
	options     Options
	agent       string // names this run
	woken       chan struct{}
	kernelSlots chan struct{}
	load        *load

	// atomic
	accepted, loops, panics atomic.Int64
	cut                     atomic.Int64 // connections that a forced stop ended
	stopping                atomic.Bool  // doors have been asked to close for good

	byUID sync.Map // of *door: the same as doors, to be read by every dial

	wg sync.WaitGroup // doors

	mu         sync.Mutex
	desired    map[string]PodSpec       // nil until the first Reconcile
	revision   uint64                   // counts Reconciles
	reconciled uint64                   // the revision that doors were last aimed at
	captures   map[string]*podCapture   // by pod UID; a pod's former sandbox is not among them
	former     map[*podCapture]struct{} // doors of former sandboxes
	swept      map[string]struct{}      // sandboxes, by ID, that were swept or need not be
	progress   chan struct{}            // closed and replaced when a door has made a step
}

// New checks the options and prepares a Manager.
func New(o Options) (*Manager, error) {
	if o.Host == nil || o.Sandboxes == nil || o.Handler == nil || o.Log == nil {
		return nil, errors.New("capture: host, sandboxes, handler and log are required")
	}
	if o.Mechanism == nil {
		o.Mechanism = NFTables()
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	o.Port = cmp.Or(o.Port, DefaultPort)
	o.Mark = cmp.Or(o.Mark, DefaultMark)
	o.Lease = cmp.Or(o.Lease, DefaultLease)
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	o.MaxConnections = cmp.Or(o.MaxConnections, affordableConnections())
	m := &Manager{options: o, agent: strings.ToLower(rand.Text()), woken: make(chan struct{}, 1), kernelSlots: make(chan struct{}, maxKernelSlots),
		captures: make(map[string]*podCapture), former: make(map[*podCapture]struct{}), progress: make(chan struct{})}
	m.load = newLoad(o.MaxConnections, o.Memory, m.wake)
	return m, nil
}

// affordableConnections is how many connections the limit of descriptors allows.
func affordableConnections() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt64 // then running out of descriptors is what tells
	}
	return max(1, int64(min(limit.Cur, math.MaxInt32))/descriptorsEach)
}

// Reconcile says which pods are to be captured, by UID, and how. It replaces what was said before and returns at once; Settle
// waits for the effect. The map must not be modified afterwards.
func (m *Manager) Reconcile(desired map[string]PodSpec) {
	m.mu.Lock()
	m.desired = desired
	m.revision++
	m.mu.Unlock()
	m.wake()
}

// Settle waits until what the last Reconcile said is in force in every pod that runs, or is known to have failed there.
func (m *Manager) Settle(ctx context.Context) error {
	for {
		settled, progress := m.settled()
		if settled {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("capture is not settled: %w", context.Cause(ctx))
		}
	}
}

func (m *Manager) settled() (bool, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reconciled < m.revision {
		return false, m.progress
	}
	for _, d := range m.captures {
		if !d.settled() {
			return false, m.progress
		}
	}
	return true, m.progress
}

// Run keeps the doors until ctx ends. Then it ends the redirecting, unless another agent has taken it over or a pod is to be
// closed without an agent; waits for connections up to Options.Grace, serving pods of the latter kind meanwhile; and returns when all that
// it made is gone. An error means that handlers did not return.
func (m *Manager) Run(ctx context.Context) error {
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx)) // doors may stay open for a while after ctx ended
	var keeper sync.WaitGroup
	keeper.Go(func() { newLeaseRenewer(m).run(keeping) })
	defer keeper.Wait()
	defer stopKeeping()
	relief := time.NewTicker(time.Second)
	defer relief.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.stop()
		case <-m.woken:
		case <-m.options.Sandboxes.Changed():
		case <-relief.C:
			m.applyLoad()
			continue
		}
		m.applyLoad()
		m.reconcile()
	}
}

func (m *Manager) wake() {
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

// applyLoad starts or ends shedding.
func (m *Manager) applyLoad() {
	why, news := m.load.evaluate()
	if !news {
		return
	}
	kind := Resumed
	if why != nil {
		kind = Shedding
	}
	m.options.OnEvent(Event{Kind: kind, Err: why})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.captures {
		d.wake()
	}
}

// reconcile brings together which pods are wanted and where pods are.
func (m *Manager) reconcile() {
	sandboxes, known := m.options.Sandboxes.Sandboxes()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.desired == nil || !known {
		return
	}
	m.endMissing(sandboxes)
	missing := false
	for uid, spec := range m.desired {
		s, runs := sandboxes[uid]
		missing = missing || !runs
		if runs && !s.Host && s.Err == nil {
			m.setGoal(uid, s, goal{mode: capturing, spec: spec, revision: m.revision})
		}
	}
	for uid, d := range m.captures {
		if _, wanted := m.desired[uid]; !wanted {
			d.setGoal(goal{mode: leaving, spec: PodSpec{Pod: d.sandbox.Pod}, revision: m.revision})
		}
	}
	m.sweep(sandboxes)
	if missing && m.reconciled < m.revision {
		m.options.Sandboxes.Hurry()
	}
	m.reconciled = m.revision
	m.notifyProgressLocked()
}

// sweep looks once into every sandbox that is not wanted, for what an agent before this one may have left. Not all that there are need
// be known the first time, and which are older than this agent no clock tells for sure. mu is held.
func (m *Manager) sweep(sandboxes map[string]pods.Sandbox) {
	swept := make(map[string]struct{}, len(sandboxes))
	for uid, s := range sandboxes {
		swept[s.ID] = struct{}{}
		if _, done := m.swept[s.ID]; done {
			continue
		}
		if _, wanted := m.desired[uid]; !wanted && !s.Host && s.Err == nil {
			m.setGoal(uid, s, goal{mode: leaving, spec: PodSpec{Pod: s.Pod}, revision: m.revision})
		}
	}
	m.swept = swept
}

// setGoal gives the pod's door a goal, making the door if there is none. mu is held.
func (m *Manager) setGoal(uid string, s pods.Sandbox, g goal) {
	if d := m.captures[uid]; d != nil {
		d.setGoal(g)
		return
	}
	d := newPodCapture(m, s, g)
	m.captures[uid] = d
	m.byUID.Store(uid, d)
	m.wg.Go(d.run)
}

// podCaptures is all doors at the moment.
func (m *Manager) podCaptures() []*podCapture {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.captures))
}

// endMissing has the doors closed whose pod or sandbox is gone. mu is held.
func (m *Manager) endMissing(sandboxes map[string]pods.Sandbox) {
	for uid, d := range m.captures {
		if s, runs := sandboxes[uid]; !runs || s.ID != d.sandbox.ID {
			m.endPod(d)
		}
	}
}

// endPod has d closed because its pod or sandbox is gone. mu is held.
func (m *Manager) endPod(d *podCapture) {
	m.forget(d)
	m.former[d] = struct{}{}
	d.setGoal(goal{mode: ended, spec: PodSpec{Pod: d.sandbox.Pod}, revision: m.revision})
}

// forget has the pod known by d's door no more, if it is. mu is held.
func (m *Manager) forget(d *podCapture) {
	if uid := d.sandbox.Pod.UID; m.captures[uid] == d {
		delete(m.captures, uid)
		m.byUID.Delete(uid)
	}
}

// finish forgets a door that has done what g asked of it, unless it has been asked for something else meanwhile.
func (m *Manager) finish(d *podCapture, g goal) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.currentGoal().mode != g.mode {
		return false
	}
	m.forget(d)
	delete(m.former, d)
	m.notifyProgressLocked()
	return true
}

// notifyProgressLocked wakes those who wait for progress. mu is held.
func (m *Manager) notifyProgressLocked() {
	close(m.progress)
	m.progress = make(chan struct{})
}

func (m *Manager) notifyProgress() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notifyProgressLocked()
}

// namespace is where the pod's calls leave from, or nil.
func (m *Manager) namespace(uid string) *netns.Namespace {
	d, ok := m.byUID.Load(uid)
	if !ok {
		return nil
	}
	return d.(*podCapture).ns.Load()
}
