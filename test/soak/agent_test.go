package soak

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// agent carries the calls of all pods, from one start to its stop.
type agent struct {
	table  *routes.Table
	proxy  *proxy.Server
	cancel context.CancelFunc
	serves sync.WaitGroup
	runs   sync.WaitGroup
}

// drain is how long an agent that ends waits for calls under way.
const drain = 20 * time.Second

func startAgent(t *testing.T, r *round, s *policy.Snapshot) *agent {
	t.Helper()
	a := &agent{}
	var err error
	a.table, err = routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return dialer{r} }})
	if err != nil {
		t.Fatal(err)
	}
	a.install(r, s)
	a.proxy, err = proxy.New(proxy.Options{Store: a.table, Events: events{r}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.runs.Go(func() { _ = a.table.Run(ctx) })
	a.runs.Go(func() { a.goByShares(ctx, r.fixed.share) })
	return a
}

// goByShares gives the node its share of each limit that the cluster shares, as a manager would.
func (a *agent) goByShares(ctx context.Context, share policy.Share) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.table.SharedLimits():
			limits, _ := a.table.Demands(time.Now())
			for i := range limits {
				a.table.SetShare(limits[i].Name, share)
			}
		}
	}
}

func (a *agent) install(r *round, s *policy.Snapshot) {
	if refused := a.table.Install(s); len(refused) > 0 {
		r.violation("a policy is refused: %v", refused)
	}
}

// stop lets calls under way end. As a node's agent does it serves the connections that were accepted before, and turns none of them away.
func (a *agent) stop(r *round) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	served, drained := make(chan struct{}), make(chan struct{})
	go func() { defer close(served); a.serves.Wait(); cancel() }()
	go func() { defer close(drained); a.proxy.Drain(ctx) }()
	<-drained
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.violation("connections are open %v after the agent was asked to stop", drain)
	}
	_ = a.proxy.Shutdown(ctx) // closes those at once
	<-served
	a.cancel()
	a.runs.Wait()
	if used := a.proxy.ReplayMemory().Used(); used != 0 {
		r.violation("%d bytes of replay memory are still taken when all calls have ended", used)
	}
}

// pod is where the calls of one pod are captured.
type pod struct {
	uid      string
	listener captured
	accepts  sync.WaitGroup
}

type captured struct {
	*transport.Listener
	at net.Addr
}

func startPod(t *testing.T, r *round, uid string, node *running) *pod {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{uid: uid, listener: captured{at: l.Addr()}}
	p.listener.Listener, err = transport.NewListener(l.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	p.accepts.Go(func() { p.accept(r, node) })
	return p
}

// accept gives connections to the agent that runs.
func (p *pod) accept(r *round, node *running) {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		a := node.enter()
		a.serves.Go(func() { a.proxy.ServeCaptured(p.uid, c, r.trust.original()) })
		node.left()
	}
}

func (p *pod) stop() {
	_ = p.listener.Close()
	p.accepts.Wait()
}

// running is the agent that new connections go to.
type running struct {
	mu sync.RWMutex
	a  *agent
}

// enter returns the agent, which is not replaced before left.
func (r *running) enter() *agent {
	r.mu.RLock()
	return r.a
}

func (r *running) left() { r.mu.RUnlock() }

func (r *running) replace(a *agent) (before *agent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, r.a = r.a, a
	return before
}

// dialer makes the agents' connections to servers.
type dialer struct{ round *round }

// Dial implements upstream.Dialer.
func (d dialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	if to.Addr() == original.Addr() {
		behind := *d.round.behind.Load()
		to = behind[int(d.round.called.Add(1))%len(behind)]
	}
	if to == silence {
		return nil, d.round.waitInVain(ctx)
	}
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if d.round.narrow() {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c.(*net.TCPConn), nil
}

// ClientOpen implements drive.ClientFinder.
func (d dialer) ClientOpen(client, _ netip.AddrPort) (open, known bool) {
	o, known := d.round.ends.Load(client)
	return known && o.(bool), known
}

// events are violations where nothing of the kind was asked for.
type events struct{ round *round }

// Opened implements proxy.Events.
func (events) Opened() {}

// Closed implements proxy.Events.
func (events) Closed() {}

// Passed implements proxy.Events.
func (events) Passed(proxy.Passed) {}

// Malformed implements proxy.Events.
func (events) Malformed(drive.Refused) {}

// Flooded implements proxy.Events.
func (events) Flooded(drive.Side, drive.Flood) {}

// Panicked implements proxy.Events.
func (e events) Panicked(_ string, what any, stack []byte) {
	e.round.violation("the proxy panicked: %v\n%s", what, stack)
}
