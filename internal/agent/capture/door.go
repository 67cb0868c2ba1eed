package capture

import (
	"errors"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
)

// mode is what a door is asked to do, in order of finality: nothing is taken back from stopping on.
type mode uint8

const (
	capturing mode = iota // redirect, accept, keep the lease
	leaving               // no policy any more: redirect no more, let connections end, leave nothing behind
	stopping              // the agent goes: the same, but for another agent or a closed pod the rules stay
	aborting              // time is up: end connections too
	ended                 // the pod is gone
)

// goal is what a door is to reach.
type goal struct {
	mode     mode
	spec     PodSpec
	revision uint64
	changed  uint64 // the revision in which it became what it is; set by aim
}

// same says whether nothing has to be done for g that is not done for o.
func (g *goal) same(o *goal) bool { return g.mode == o.mode && g.spec.Redirect.Equal(o.spec.Redirect) }

const (
	firstRetry     = 100 * time.Millisecond
	lastRetry      = 5 * time.Second
	permanentRetry = 30 * time.Second
	// inspectInterval is how often a door is looked after that needs nothing.
	inspectInterval = time.Minute
	// drainPoll is how often a door whose last connection has ended looks whether all has been delivered.
	drainPoll = 50 * time.Millisecond
)

// podCapture is the agent's presence in one sandbox: listeners, redirect, lease, connections. One goroutine, run, does everything to
// it; the others say what they want and look at what it reports.
type podCapture struct {
	// immutable after newDoor
	manager *Manager
	sandbox pods.Sandbox
	woken   chan struct{}

	ns        atomic.Pointer[netns.Namespace] // nil before and after
	disturbed atomic.Bool                     // somebody has changed rules in the namespace
	forgotten atomic.Bool                     // the kernel knows a redirected connection no more
	foreign   atomic.Bool                     // another proxy takes connections in the pod
	conns     connections
	lease     heldLease

	mu     sync.Mutex
	goal   goal
	status podStatus

	// used only by run
	redirector      Redirector
	listeners       *listeners
	inspection      inspection
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
	d := &podCapture{manager: m, sandbox: s, goal: g, woken: make(chan struct{}, 1)}
	d.conns.idle = d.connectionsIdle
	return d
}

// connectionsIdle is told that no connection is served any more, for which a door waits that is being closed.
func (d *podCapture) connectionsIdle() {
	if d.currentGoal().mode != capturing {
		d.wake()
	}
}

// setGoal changes the goal, unless the old one is more final. A door that has reached the same goal already is not woken.
func (d *podCapture) setGoal(g goal) {
	if !d.replaceGoal(g) {
		d.wake()
	}
}

// replaceGoal changes the goal, and says whether that leaves nothing to do.
func (d *podCapture) replaceGoal(g goal) (done bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.goal.mode >= stopping && g.mode < d.goal.mode {
		return false
	}
	done = d.goal.same(&g) && d.status.reached >= d.goal.revision
	g.changed = g.revision
	if d.goal.same(&g) {
		g.changed = d.goal.changed
	}
	if done {
		d.status.reached = g.revision
	}
	d.goal = g
	return done
}

func (d *podCapture) setMode(next mode) {
	g := d.currentGoal()
	g.mode = next
	d.setGoal(g)
}

func (d *podCapture) currentGoal() goal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.goal
}

func (d *podCapture) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *podCapture) settled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status.reached >= d.goal.revision
}

// run works towards the goal until there is nothing left of the door.
func (d *podCapture) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.woken:
		case <-timer.C:
		}
		g := d.currentGoal()
		pause, finished := d.step(g)
		if finished && d.manager.finish(d, g) {
			d.emitTerminal(g)
			return
		}
		timer.Reset(pause)
	}
}

// step does what can be done now, and says when to go on if nobody asks before.
func (d *podCapture) step(g goal) (pause time.Duration, finished bool) {
	switch g.mode {
	case capturing:
		err := d.capture(g)
		d.publishState(g, err)
		return d.pause(err), false
	case leaving, stopping:
		finished, err := d.retire(g)
		d.publishState(g, err)
		if err != nil {
			return d.pause(err), false
		}
		if d.conns.count() > 0 {
			return inspectInterval, false // the last of them wakes the door
		}
		return drainPoll, finished
	case aborting, ended:
		d.closeNow(g)
	}
	return 0, true
}

// transient says that err is the first of its kind and will be tried again soon: it is not yet how things stand. Who waits for doors to
// settle acknowledges policy, and whoever hears of that expects calls to be governed.
func (d *podCapture) transient(err error) bool {
	return err != nil && d.retry == 0 && !errors.Is(err, ErrPermanent) && !overloaded(err)
}

func overloaded(err error) bool {
	e, ok := errors.AsType[stepError](err)
	return ok && e.reason == ReasonOverload
}

func (d *podCapture) pause(err error) time.Duration {
	if err == nil {
		d.retry = 0
		if !d.superseded {
			return d.inspection.pause(inspectInterval)
		}
		return d.manager.options.Lease / 3
	}
	if errors.Is(err, ErrPermanent) {
		return permanentRetry
	}
	if overloaded(err) {
		return d.manager.options.Lease / 3
	}
	d.retry = min(max(2*d.retry, firstRetry), lastRetry)
	return d.retry
}

// capture opens what is not open, installs what is not installed or not intact any more, and takes the lease.
func (d *podCapture) capture(g goal) error {
	r := g.spec.Redirect
	d.redirectStopped = false
	if err := d.enter(); err != nil {
		return failed(ReasonNamespace, err)
	}
	if err := d.listen(); err != nil {
		return failed(ReasonListen, err)
	}
	if passive, err := d.install(r, g.changed); err != nil || passive {
		return failed(ReasonRules, err)
	}
	if why := d.manager.load.overload(); why != nil && !r.FailClosed {
		return d.yieldLease(why)
	}
	d.yielded = false
	if err := d.renew(g); err != nil {
		return failed(ReasonRules, err)
	}
	if !d.superseded {
		d.restore()
		d.inspect(g)
	}
	return nil
}

// restore has the kernel know connections again that it was made to forget.
func (d *podCapture) restore() {
	if !d.forgotten.Swap(false) {
		return
	}
	n, err := d.redirector.Restore(d.conns.mappings(math.MaxInt))
	if n > 0 || err != nil { // one that has just ended is forgotten too
		d.manager.options.Log.Warn("the kernel had forgotten connections of a pod", "pod", d.sandbox.Pod.Name, "namespace", d.sandbox.Pod.Namespace,
			"restored", n, "error", err)
	}
}

// renew takes the lease, if the door does not hold it. Where there is nothing any more that it would be of, or where what there is has
// been changed, that is written anew.
func (d *podCapture) renew(g goal) error {
	err := d.lease.hold(d.redirector)
	intact := err == nil
	if intact && d.disturbed.Swap(false) {
		d.inspection.inspectSoon() // others may have come or gone
		if intact, err = d.redirector.Intact(); err != nil && !errors.Is(err, nft.ErrSuperseded) {
			return nil // who renews finds out again that something is to be looked at
		}
	}
	switch {
	case intact:
		return nil
	case errors.Is(err, nft.ErrSuperseded):
		d.supersede()
		return nil
	case err == nil || gone(err):
		d.inspection.inspectAll()
		d.inspection.rewritten = time.Now()
		d.publishState(g, failed(ReasonRulesChanged, errRulesChanged))
	}
	d.installed = 0 // nobody tells of the change once more if this fails
	if err := d.inKernelSlot(func() error { return d.redirector.TakeOver(g.spec.Redirect) }); err != nil {
		return err
	}
	d.installed = g.changed
	return d.lease.hold(d.redirector)
}

func (d *podCapture) supersede() {
	d.lease.release()
	d.inspection.inspectAll()
	d.superseded = true
	d.emit(Superseded, nil)
}

// enter opens the sandbox's network namespace.
func (d *podCapture) enter() error {
	if d.ns.Load() != nil {
		return nil
	}
	ns, err := d.manager.options.Host.Open(d.sandbox.NetNS)
	if err != nil {
		return err
	}
	d.ns.Store(ns)
	return nil
}

// listen opens the listeners, on the port that connections are redirected to already if they are.
func (d *podCapture) listen() error {
	if d.listeners != nil {
		return nil
	}
	ns := d.ns.Load()
	if err := ns.MigrateRequests(); err != nil {
		// A container's /proc/sys is often read-only. The listeners' own order makes up for it.
		d.manager.options.Log.Debug("connection requests do not migrate", "pod", d.sandbox.Pod.Name, "namespace", d.sandbox.Pod.Namespace,
			"error", err)
	}
	port := d.manager.options.Port
	if used, err := d.manager.options.Mechanism.PortInUse(ns); err != nil {
		return err
	} else if used != 0 {
		port = used
	}
	l, err := listen(ns, port)
	if err != nil {
		return err
	}
	if err := d.openRedirector(l.port, l.ipv6()); err != nil {
		l.close()
		return err
	}
	l.own = d.redirector.Own
	d.listeners = l
	l.serve(func(conn *net.TCPConn) { d.accept(l, conn) }, d.acceptFailed)
	return nil
}

func (d *podCapture) openRedirector(port uint16, ipv6 bool) error {
	d.closeRedirector()
	o := d.manager.options
	r, err := o.Mechanism.Open(d.ns.Load(), MechanismOptions{Agent: d.manager.agent, Port: port, IPv6: ipv6, Mark: o.Mark, Lease: o.Lease})
	if err != nil {
		return err
	}
	d.redirector, d.installed = r, 0
	return nil
}

func (d *podCapture) closeRedirector() {
	d.lease.release()
	if d.redirector != nil {
		_ = d.redirector.Close()
		d.redirector = nil
	}
}

// install makes the kernel redirect. It is passive while another agent does so that came later: connections still reach this one
// too, and when the other's lease runs out this one takes over again.
func (d *podCapture) install(r Redirect, changed uint64) (passive bool, err error) {
	if !d.superseded && d.installed == changed {
		return false, nil
	}
	apply := d.redirector.Install
	if d.superseded {
		if leased, err := d.redirector.Leased(); leased || err != nil && !gone(err) {
			return true, nil // not knowing is no reason to take anything from an agent that may be well
		}
		apply = d.redirector.TakeOver
	}
	err = d.inKernelSlot(func() error { return apply(r) })
	if errors.Is(err, nft.ErrSuperseded) {
		d.supersede()
		return true, nil
	}
	if err != nil {
		return false, err
	}
	d.superseded, d.failClosed, d.installed = false, r.FailClosed, changed
	d.inspection.redirectChanged(r) // what is redirected from now on may have connections from before
	return false, nil
}

// yieldLease gives up the lease so that new connections go direct.
func (d *podCapture) yieldLease(why error) error {
	if !d.yielded {
		d.lease.release()
		d.inspection.inspectAll()
		if err := d.redirector.Yield(); err != nil {
			return failed(ReasonRules, err)
		}
		d.yielded = true
	}
	return stepError{reason: ReasonOverload, error: why}
}

// inKernelSlot runs fn, which waits for the kernel, when not too many others do.
func (d *podCapture) inKernelSlot(fn func() error) error {
	d.manager.kernelSlots <- struct{}{}
	defer func() { <-d.manager.kernelSlots }()
	return fn()
}
