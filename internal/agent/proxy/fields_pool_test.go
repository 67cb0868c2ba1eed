package proxy

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// gate is an upstream that answers "/held" when the test lets it, and everything else at once.
type gate struct {
	arrived chan struct{} // one for each held request
	release chan struct{}
	open    func() // closes release, once
	conns   atomic.Int64
	ended   chan struct{} // one for each connection
}

func (g *gate) serve(_ int, p *peer) {
	g.conns.Add(1)
	defer func() { g.ended <- struct{}{} }()
	for {
		q, _, ok := p.request()
		if !ok {
			return
		}
		if q.URL.Path == "/held" {
			g.arrived <- struct{}{}
			<-g.release
		}
		p.ok("fine")
	}
}

func newGate() *gate {
	release := make(chan struct{})
	return &gate{
		arrived: make(chan struct{}, 100), release: release, open: sync.OnceFunc(func() { close(release) }), ended: make(chan struct{}, 100),
	}
}

// hold begins a call that is held upstream.
func (w *testProxy) hold(g *gate) *client {
	w.t.Helper()
	c := w.dial()
	c.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
	w.expect(g.arrived, "the call does not arrive")
	return c
}

// expect waits for what should happen at once.
func (w *testProxy) expect(what <-chan struct{}, otherwise string) {
	w.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-what:
	case <-late.C:
		w.t.Fatal(otherwise)
	}
}

func (w *testProxy) waiting() (waiting int) {
	w.store.Stats(time.Now(), func(s routes.Stats) { waiting += s.Pool.Waiting })
	return waiting
}

// A call above the limit waits for the connection of the call before.
//
//enforces:http1 connectionPool.maxConnections connectionPool.maxConnectionsPerEndpoint
func TestRule25_ConnectionsAreLimited(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"in all":       func(p *policy.Pool) { p.MaxConnections = 1 },
		"per endpoint": func(p *policy.Pool) { p.MaxConnectionsPerEndpoint = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			w := build(t, serve(t, g.serve), toAny(func(s *policy.Settings) { s.Pool.PendingTimeout = time.Hour; set(&s.Pool) }))
			defer g.open()
			first := w.hold(g)
			second := w.dial()
			get(second)
			poll(t, func() bool { return w.waiting() == 1 })
			g.open()
			first.response("GET")
			second.response("GET")
			if n := g.conns.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

// One call more than may wait is answered at once.
//
//enforces:http1 connectionPool.maxPending
func TestRule25_TheQueueOfCallsIsBounded(t *testing.T) {
	g := newGate()
	w := build(t, serve(t, g.serve), toAny(func(s *policy.Settings) {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 1, 1, time.Hour
	}))
	defer g.open()
	w.hold(g)
	second, third := w.dial(), w.dial()
	get(second)
	poll(t, func() bool { return w.waiting() == 1 })
	if res, _ := third.get("/"); res.StatusCode != 503 || res.Header.Get("fairlead-reason") != "pool_overflow" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

// A call may wait longer than it would by default.
//
//enforces:http1 connectionPool.pendingTimeout
func TestRule25_AQueuedCallWaitsAsLongAsWritten(t *testing.T) {
	t.Parallel() // it waits
	g := newGate()
	w := build(t, serve(t, g.serve), toAny(func(s *policy.Settings) { s.Pool.MaxConnections, s.Pool.PendingTimeout = 1, time.Hour }))
	defer g.open()
	first, second := w.hold(g), w.dial()
	get(second)
	second.pause(policy.Defaults().Pool.PendingTimeout + 600*time.Millisecond)
	g.open()
	first.response("GET")
	if res, _ := second.response("GET"); res.StatusCode != 200 {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

// Of connections that are idle at the same time, those above the limit are closed, and all are when they have been idle for too long.
//
//enforces:http1 connectionPool.maxIdlePerEndpoint connectionPool.idleTimeout
func TestRule25_IdleConnectionsAreClosed(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"too many": func(p *policy.Pool) { p.MaxIdlePerEndpoint = 1 },
		"too long": func(p *policy.Pool) { p.IdleTimeout = time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			w := build(t, serve(t, g.serve), toAny(func(s *policy.Settings) { set(&s.Pool) }))
			defer g.open()
			first, second := w.hold(g), w.hold(g)
			g.open()
			first.response("GET")
			second.response("GET")
			w.expect(g.ended, "no connection is closed")
		})
	}
}

// A connection that has served its time, or its requests, serves no more.
//
//enforces:http1 connectionPool.maxLifetime connectionPool.maxRequestsPerConnection
func TestRule25_ConnectionsWearOut(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"by time":     func(p *policy.Pool) { p.MaxLifetime = time.Millisecond },
		"by requests": func(p *policy.Pool) { p.MaxRequestsPerConnection = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			w := build(t, serve(t, g.serve), toAny(func(s *policy.Settings) { set(&s.Pool) }))
			c := w.dial()
			for range 3 {
				c.get("/")
				c.pause(5 * time.Millisecond)
			}
			// Time is looked at when a call ends.
			if n := g.conns.Load(); n < 2 {
				t.Errorf("%d connections for 3 calls", n)
			}
		})
	}
}

// A server whose host vanishes is found out by the policy's numbers.
//
//enforces:http1 connectionPool.tcpKeepAlive.idle connectionPool.tcpKeepAlive.interval connectionPool.tcpKeepAlive.probes
func TestRule25_ConnectionsAreKeptAliveAsWritten(t *testing.T) {
	want := policy.KeepAlive{Idle: 17 * time.Second, Interval: 3 * time.Second, Probes: 7}
	w := build(t, serve(t, echo), toAny(func(s *policy.Settings) { s.Pool.KeepAlive = want }))
	w.dial().get("/")
	if got := keepAlive(t, w.dialer.last.Load()); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// shop is a Service with these endpoints, and a binding for it.
func (w *testProxy) shop(change func(*policy.Settings), endpoints ...netip.AddrPort) {
	w.t.Helper()
	w.shopOf(policy.ProtocolHTTP, change, endpoints...)
}

func (w *testProxy) shopOf(protocol policy.Protocol, change func(*policy.Settings), endpoints ...netip.AddrPort) {
	w.t.Helper()
	w.services = map[string]*policy.Destination{"ns/shop": {
		Name: "ns/shop", ClusterIPs: []netip.Addr{w.original.Addr()},
		Ports: []policy.DestinationPort{{Port: w.original.Port(), Endpoints: policy.Ready(endpoints...)}},
	}}
	b := toAny(change)
	b.To.Kind, b.To.Service, b.To.Protocol = policy.TargetService, "ns/shop", protocol
	w.install(b)
}

// Where calls go is for the policy to say: to the endpoints in turn, or where the cluster leads.
//
//enforces:http1 loadBalancing.policy
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestCallsAreBalancedAsWritten(t *testing.T) {
	var n [3]atomic.Int64
	var endpoints []netip.AddrPort
	for i := range n {
		endpoints = append(endpoints, counted(t, &n[i], always(answer(200, ""))))
	}
	counts := func() [3]int64 { return [3]int64{n[0].Swap(0), n[1].Swap(0), n[2].Swap(0)} }
	for name, tc := range map[string]struct {
		policy policy.LoadBalancing
		want   [3]int64
	}{
		"in turn":              {policy.RoundRobin, [3]int64{20, 20, 20}},
		"as the cluster leads": {policy.ClusterIP, [3]int64{60, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, endpoints[0]) // stands for the cluster IP
			w.shop(func(s *policy.Settings) { s.LoadBalancing = tc.policy }, endpoints...)
			c := w.dial()
			for range 60 {
				c.get("/")
			}
			if got := counts(); got != tc.want {
				t.Errorf("the endpoints got %v, want %v", got, tc.want)
			}
		})
	}
}

// A retry may go to the same endpoint again where the policy says so.
//
//enforces:http1 retry.avoidPreviousEndpoints
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestARetryAvoidsEndpointsUnlessWritten(t *testing.T) {
	for name, avoid := range map[string]bool{"avoid": true, "do not": false} {
		t.Run(name, func(t *testing.T) {
			var n [2]atomic.Int64
			first, second := counted(t, &n[0], always(answer(503, ""))), counted(t, &n[1], always(answer(503, "")))
			w := build(t, first)
			w.shop(func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries, s.Retry.AvoidPreviousEndpoints = policy.Of(policy.GatewayError), 1, avoid
				s.LoadBalancing = policy.RandomEndpoint
			}, first, second)
			c := w.dial()
			apart := true
			for range 60 {
				c.get("/")
				apart = apart && n[0].Swap(0) == 1 && n[1].Swap(0) == 1
			}
			if apart != avoid {
				t.Errorf("the attempts of each call went to different endpoints: %v, want %v", apart, avoid)
			}
		})
	}
}
