package capture

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/pods"
)

const (
	firstRetry     = 100 * time.Millisecond
	lastRetry      = 5 * time.Second
	permanentRetry = 30 * time.Second
	// inspectInterval is how often a pod is inspected whose capture needs nothing.
	inspectInterval = time.Minute
	// drainPoll is how often it is looked whether all has been delivered after the last connection has ended.
	drainPoll = 50 * time.Millisecond
)

// podCapture is the capture of one sandbox: listeners, redirect, lease, connections. One goroutine, run, does everything to
// it; the others set goals and read its status.
type podCapture struct {
	// immutable after newPodCapture
	manager *Manager
	sandbox pods.Sandbox
	woken   chan struct{}

	// atomic
	reachable atomic.Pointer[attached] // what the pod's calls leave from; nil before and after
	disturbed atomic.Bool              // somebody has changed rules in the namespace
	forgotten atomic.Bool              // the kernel knows a redirected connection no more
	foreign   atomic.Bool              // another proxy takes connections in the pod
	closed    atomic.Bool              // connections cannot go past the agent
	load      podLoad

	conns connections
	lease heldLease

	mu     sync.Mutex
	goal   goal
	status podStatus

	// used only by run
	attached        *attached
	listeners       *listeners
	inspection      inspection
	found           bool   // something redirects in the sandbox, or may: this agent has opened listeners, or one before it has left something
	superseded      bool   // another agent redirects here
	yielded         bool   // the lease was given up for overload
	redirectStopped bool   // redirecting has been ended
	everCaptured    bool   // it has captured at some time
	failClosed      bool   // what was installed redirects without a lease
	installed       uint64 // when the goal that was installed last had changed, 0 if none is
	retry           time.Duration
}

func newPodCapture(m *Manager, s pods.Sandbox, g goal) *podCapture {
	g.changed = g.revision
	p := &podCapture{manager: m, sandbox: s, goal: g, woken: make(chan struct{}, 1)}
	p.conns.idle = p.connectionsIdle
	return p
}

// connectionsIdle is called when the last connection has ended, for which retiring waits.
func (p *podCapture) connectionsIdle() {
	if p.currentGoal().mode != capturing {
		p.wake()
	}
}

func (p *podCapture) wake() { signal(p.woken) }

// run works towards the goal until there is nothing left to do for the sandbox.
func (p *podCapture) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.woken:
		case <-timer.C:
		}
		g := p.currentGoal()
		pause, finished := p.step(g)
		if finished && p.manager.finish(p, g) {
			p.emitTerminal(g)
			return
		}
		timer.Reset(pause)
	}
}

// step does what can be done now, and reports when to go on if nobody asks before.
func (p *podCapture) step(g goal) (pause time.Duration, finished bool) {
	switch g.mode {
	case capturing:
		err := p.capture(g)
		p.publishState(g, err)
		return p.pause(err), false
	case retiring, stopping:
		finished, err := p.retire(g)
		p.publishState(g, err)
		if err != nil {
			return p.pause(err), false
		}
		if p.conns.count() > 0 {
			return inspectInterval, false // the last of them wakes it
		}
		return drainPoll, finished
	case aborting, ended:
		p.closeNow(g)
	}
	return 0, true
}

func (p *podCapture) pause(err error) time.Duration {
	if err == nil {
		p.retry = 0
		if !p.superseded {
			return p.inspection.pause(inspectInterval)
		}
		return p.manager.options.Lease / 3
	}
	if errors.Is(err, ErrPermanent) {
		return permanentRetry
	}
	if overloaded(err) {
		return p.manager.options.Lease / 3
	}
	p.retry = min(max(2*p.retry, firstRetry), lastRetry)
	return p.retry
}

// transient says that err is the first of its kind and will be tried again soon: it is not yet how things stand. Who waits for captures to
// AwaitReached acknowledges policy, and whoever hears of that expects calls to be governed.
func (p *podCapture) transient(err error) bool {
	return err != nil && p.retry == 0 && !errors.Is(err, ErrPermanent) && !overloaded(err)
}

// inKernelSlot runs fn, which waits for the kernel, when not too many others do.
func (p *podCapture) inKernelSlot(fn func() error) error {
	p.manager.kernelSlots <- struct{}{}
	defer func() { <-p.manager.kernelSlots }()
	return fn()
}

// release closes what is open of the sandbox.
func (p *podCapture) release() {
	p.lease.release()
	p.reachable.Store(nil)
	if p.attached != nil {
		p.attached.close()
		p.attached, p.found = nil, false
	}
}
