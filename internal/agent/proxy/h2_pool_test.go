package proxy

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// alone has each connection carry one stream at a time, so that limits on connections are limits on streams.
func alone(change func(*policy.Pool)) func(*policy.Settings) {
	return func(s *policy.Settings) {
		s.Pool.MaxStreams, s.Pool.PendingTimeout = 1, time.Hour
		change(&s.Pool)
	}
}

// holding is a proxy in front of a server that answers /held when the test lets it, and the rest at once.
func holding(t *testing.T, change func(*policy.Settings)) (*testProxy, *http2test.Server, *barrier) {
	t.Helper()
	release := newBarrier()
	w, srv := scripted(t, toAnyH2(change), func(_ int, s *http2test.Stream) {
		if head, _ := s.Head(); head.Get(":path") == "/held" {
			<-release.C
		}
		_ = s.Respond(200, nil, nil)
	})
	t.Cleanup(release.now)
	return w, srv, release
}

// held begins n calls that are held upstream.
func (w *testProxy) held(c *http2test.Conn, n int) (streams []*http2test.Stream) {
	w.t.Helper()
	before := w.dialer.dials.Load()
	for i := range n {
		streams = append(streams, must(c.Get("up.example", "/held", nil))(w.t))
		w.waitFor(w.t, func() bool { return w.dialer.dials.Load() == before+int64(i)+1 })
	}
	return streams
}

//enforces:http2 connectionPool.maxConnections connectionPool.maxConnectionsPerEndpoint
func TestRule25_ConnectionsAreLimitedOverHTTP2(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"in all":       func(p *policy.Pool) { p.MaxConnections = 1 },
		"per endpoint": func(p *policy.Pool) { p.MaxConnectionsPerEndpoint = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, srv, release := holding(t, alone(set))
			c := w.dialH2(http2test.Options{})
			streams := append(w.held(c, 1), must(c.Get("up.example", "/", nil))(t))
			poll(t, func() bool { return w.waiting() == 1 || w.dialer.dials.Load() > 1 })
			release.now()
			for _, s := range streams {
				if status, head := statusOf(t, s); status != "200" {
					t.Errorf("got %v", head)
				}
			}
			if n := len(srv.Conns()); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

//enforces:http2 connectionPool.maxPending
func TestRule25_TheQueueOfCallsIsBoundedOverHTTP2(t *testing.T) {
	w, _, _ := holding(t, alone(func(p *policy.Pool) { p.MaxConnections, p.MaxPending = 1, 1 }))
	c := w.dialH2(http2test.Options{})
	w.held(c, 1)
	must(c.Get("up.example", "/", nil))(t)
	poll(t, func() bool { return w.waiting() == 1 })
	if head := getH2(t, c, "/"); head.Get(":status") != "503" || head.Get("fairlead-reason") != "pool_overflow" {
		t.Errorf("got %v", head)
	}
}

//enforces:http2 connectionPool.pendingTimeout
func TestRule25_AQueuedCallWaitsAsLongAsWrittenOverHTTP2(t *testing.T) {
	t.Parallel() // it waits
	w, _, release := holding(t, alone(func(p *policy.Pool) { p.MaxConnections = 1 }))
	c := w.dialH2(http2test.Options{})
	w.held(c, 1)
	s := must(c.Get("up.example", "/", nil))(t)
	w.dial().pause(policy.Defaults().Pool.PendingTimeout + 600*time.Millisecond)
	release.now()
	if status, head := statusOf(t, s); status != "200" {
		t.Errorf("got %v", head)
	}
}

//enforces:http2 connectionPool.maxIdlePerEndpoint connectionPool.idleTimeout
func TestRule25_IdleConnectionsAreClosedOverHTTP2(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"too many": func(p *policy.Pool) { p.MaxIdlePerEndpoint = 1 },
		"too long": func(p *policy.Pool) { p.IdleTimeout = time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			w, srv, release := holding(t, alone(set))
			c := w.dialH2(http2test.Options{})
			streams := w.held(c, 2)
			release.now()
			for _, s := range streams {
				statusOf(t, s)
			}
			ended := make(chan struct{}, 2)
			for i := range 2 {
				go func() {
					if _, err := srv.AwaitConn(i).AwaitEnd(); err == nil {
						ended <- struct{}{}
					}
				}()
			}
			w.expect(ended, "no connection is closed")
			check(t, c.Ping()) // the client's is not
		})
	}
}

//enforces:http2 connectionPool.maxLifetime connectionPool.maxRequestsPerConnection
func TestRule25_ConnectionsWearOutOverHTTP2(t *testing.T) {
	for name, set := range map[string]func(*policy.Pool){
		"by time":     func(p *policy.Pool) { p.MaxLifetime = time.Millisecond },
		"by requests": func(p *policy.Pool) { p.MaxRequestsPerConnection = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, srv, _ := holding(t, func(s *policy.Settings) { set(&s.Pool) })
			c, pause := w.dialH2(http2test.Options{}), w.dial()
			for range 3 {
				if head := getH2(t, c, "/"); head.Get(":status") != "200" {
					t.Errorf("got %v", head)
				}
				pause.pause(5 * time.Millisecond)
			}
			if n := len(srv.Conns()); n < 2 {
				t.Errorf("%d connections for 3 calls", n)
			}
		})
	}
}

//enforces:http2 connectionPool.tcpKeepAlive.idle connectionPool.tcpKeepAlive.interval connectionPool.tcpKeepAlive.probes
func TestRule25_ConnectionsAreKeptAliveAsWrittenOverHTTP2(t *testing.T) {
	want := policy.KeepAlive{Idle: 17 * time.Second, Interval: 3 * time.Second, Probes: 7}
	w, _, _ := holding(t, func(s *policy.Settings) { s.Pool.KeepAlive = want })
	getH2(t, w.dialH2(http2test.Options{}), "/")
	if got := keepAlive(t, w.dialer.last.Load()); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// countedH2 are servers of HTTP/2 that answer with a status and count the streams.
func countedH2(t *testing.T, n []atomic.Int64, status int) (endpoints []netip.AddrPort) {
	t.Helper()
	for i := range n {
		srv := http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
			n[i].Add(1)
			_ = s.Respond(status, nil, nil)
		}})
		endpoints = append(endpoints, srv.Addr())
	}
	return endpoints
}

// Each stream goes where the policy says, though all are of one client connection.
//
//enforces:http2 loadBalancing.policy
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestCallsAreBalancedAsWrittenOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		policy policy.LoadBalancing
		want   [3]int64
	}{
		"in turn":              {policy.RoundRobin, [3]int64{20, 20, 20}},
		"as the cluster leads": {policy.ClusterIP, [3]int64{60, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, 3)
			endpoints := countedH2(t, n, 200)
			w := build(t, endpoints[0]) // stands for the cluster IP
			w.shopOf(policy.ProtocolHTTP2, func(s *policy.Settings) { s.LoadBalancing = tc.policy }, endpoints...)
			c := w.dialH2(http2test.Options{})
			for range 60 {
				getH2(t, c, "/")
			}
			if got := [3]int64{n[0].Load(), n[1].Load(), n[2].Load()}; got != tc.want {
				t.Errorf("the endpoints got %v, want %v", got, tc.want)
			}
		})
	}
}

//enforces:http2 retry.avoidPreviousEndpoints
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestARetryAvoidsEndpointsUnlessWrittenOverHTTP2(t *testing.T) {
	for name, avoid := range map[string]bool{"avoid": true, "do not": false} {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, 2)
			endpoints := countedH2(t, n, 503)
			w := build(t, endpoints[0])
			w.shopOf(policy.ProtocolHTTP2, func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries, s.Retry.AvoidPreviousEndpoints = policy.Of(policy.GatewayError), 1, avoid
				s.LoadBalancing = policy.RandomEndpoint
			}, endpoints...)
			c := w.dialH2(http2test.Options{})
			apart := true
			for range 60 {
				getH2(t, c, "/")
				apart = apart && n[0].Swap(0) == 1 && n[1].Swap(0) == 1
			}
			if apart != avoid {
				t.Errorf("the attempts of each call went to different endpoints: %v, want %v", apart, avoid)
			}
		})
	}
}
