package capture

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
)

// loadInterval is how often it is looked whether new connections have to go direct.
const loadInterval = time.Second

// Manager captures pods. Make it with New, start it with Run, say what is wanted with Reconcile.
type Manager struct {
	// immutable after New
	options     Options
	mechanism   mechanism.Interface
	heartbeat   *heartbeat
	woken       chan struct{}
	heavier     chan struct{} // the load is to be looked at
	kernelSlots chan struct{}
	load        *load

	// atomic
	accepted, loops, panics atomic.Int64
	cut                     atomic.Int64 // connections that a forced stop ended
	refused, shed           atomic.Int64 // connections that were refused, and ended, for overload
	stopping                atomic.Bool  // pods that can do without the agent have been asked to retire for good

	byUID sync.Map // of *podCapture: the same as captures, to be read by every dial

	wg sync.WaitGroup // podCaptures

	mu         sync.Mutex
	desired    map[string]PodSpec       // nil until the first Reconcile
	revision   uint64                   // counts Reconciles
	reconciled uint64                   // the revision that goals were last set by
	captures   map[string]*podCapture   // by pod UID; a pod's former sandbox is not among them
	former     map[*podCapture]struct{} // of former sandboxes
	swept      map[string]struct{}      // sandboxes, by ID, that were swept or need not be
	progress   chan struct{}            // closed and replaced when a podCapture has made a step
}

// New checks the options and prepares a Manager.
func New(o Options) (*Manager, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{options: o, woken: make(chan struct{}, 1), heavier: make(chan struct{}, 1), kernelSlots: make(chan struct{}, maxKernelSlots),
		captures: make(map[string]*podCapture), former: make(map[*podCapture]struct{}), progress: make(chan struct{})}
	m.load = newLoad(o.MaxConnections, o.Memory, func() { signal(m.heavier) })
	m.mechanism, err = o.Mechanism(mechanism.Settings{Agent: strings.ToLower(rand.Text()), Mark: o.Mark, Lease: o.Lease})
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	m.heartbeat = &heartbeat{Heartbeat: m.mechanism.Heartbeat(), changed: m.wakeAll}
	return m, nil
}

// Reconcile says which pods are to be captured, by UID, and how. It replaces what was said before and returns at once; AwaitReached
// waits for the effect. The map must not be modified afterwards.
func (m *Manager) Reconcile(desired map[string]PodSpec) {
	m.mu.Lock()
	m.desired = desired
	m.revision++
	m.mu.Unlock()
	m.wake()
}

// AwaitReached waits until what the last Reconcile said is in force in every pod that runs, or is known to have failed there.
func (m *Manager) AwaitReached(ctx context.Context) error {
	for {
		reached, progress := m.reached()
		if reached {
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("not every pod is captured as it should be: %w", context.Cause(ctx))
		}
	}
}

func (m *Manager) reached() (bool, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reconciled < m.revision {
		return false, m.progress
	}
	for _, p := range m.captures {
		if !p.reached() {
			return false, m.progress
		}
	}
	return true, m.progress
}

// Run captures until ctx ends. Then it ends the redirecting, unless another agent has taken it over or a pod fails closed;
// waits for connections up to Options.Grace, serving pods of the latter kind meanwhile; and returns when all that
// it made is gone. An error means that handlers did not return.
func (m *Manager) Run(ctx context.Context) error {
	alive, stopAlive := context.WithCancel(context.WithoutCancel(ctx)) // pods may stay captured for a while after ctx ended
	m.heartbeat.begin()
	var renewing sync.WaitGroup
	renewing.Go(func() { newLeaseRenewer(m).run(alive) })
	renewing.Go(func() { m.heartbeat.run(alive) })
	defer renewing.Wait()
	defer stopAlive()
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.stop()
		case <-m.woken:
		case <-m.options.Sandboxes.Changed():
		case <-m.heavier:
			m.applyLoad()
			continue
		case <-tick.C:
			m.applyLoad()
			continue
		}
		m.applyLoad()
		m.reconcile()
	}
}

func (m *Manager) wake() { signal(m.woken) }

// signal wakes who receives from c, which has room for one, and never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// applyLoad starts or ends shedding.
func (m *Manager) applyLoad() {
	m.mu.Lock()
	captures := m.allCaptures()
	m.mu.Unlock()
	pods, owners := make([]*podLoad, 0, len(captures)), make(map[*podLoad]*podCapture, len(captures))
	for p := range captures {
		pods = append(pods, &p.load)
		owners[&p.load] = p
	}
	changed, v, turned := m.load.evaluate(pods)
	if turned {
		kind := Resumed
		if v.reason != nil {
			kind = Shedding
		}
		m.options.OnEvent(Event{Kind: kind, Err: v.reason})
	}
	for _, p := range changed {
		owners[p].wake()
	}
	if v.cut && m.load.cutsAt(time.Now()) {
		m.cutHeaviest(captures)
	}
}

// cutHeaviest ends some connections of the pods that have more than their share.
func (m *Manager) cutHeaviest(captures map[*podCapture]struct{}) {
	for p := range captures {
		if p.load.cutting.Load() {
			n := p.conns.cut(1 + p.conns.count()/cutPart)
			m.shed.Add(int64(n))
			m.options.Log.Warn("connections were cut for want of memory", "pod", p.sandbox.Pod.Name, "namespace", p.sandbox.Pod.Namespace, "cut", n)
		}
	}
}

func (m *Manager) wakeAll() {
	for _, p := range m.podCaptures() {
		p.wake()
	}
}

// podCaptures are those of all pods at the moment.
func (m *Manager) podCaptures() []*podCapture {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.captures))
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

// attached is the sandbox from which the pod's calls leave, or nil.
func (m *Manager) attached(uid string) *attached {
	p := m.capture(uid)
	if p == nil {
		return nil
	}
	return p.reachable.Load()
}

// capture is the capture of the pod, or nil.
func (m *Manager) capture(uid string) *podCapture {
	p, ok := m.byUID.Load(uid)
	if !ok {
		return nil
	}
	return p.(*podCapture)
}
