package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// eachEndpoint has each endpoint judged by itself, which after two failures in a row is out for the rest of the test, and calls go to all in turn.
func eachEndpoint(most int) func(*policy.Settings) {
	return func(s *policy.Settings) {
		guarded(func(b *policy.Breaker) {
			b.ConsecutiveFailures, b.OpenDuration, b.OpenMaxDuration = 2, time.Hour, time.Hour
			b.FailureGRPC = []policy.GRPCStatus{unavailable}
			b.Scope, b.MaxEjectedPercent = policy.ScopeEndpoint, most
		})(s)
		s.LoadBalancing = policy.RoundRobin
	}
}

// ejectionCase is what becomes of 60 calls to endpoints of which some fail always.
type ejectionCase struct {
	fails []bool // of each endpoint
	most  int    // per cent
	want  []int64
}

// ejectionCases are about scope and maxEjectedPercent, whatever the protocol.
func ejectionCases() map[string]ejectionCase {
	return map[string]ejectionCase{
		"one of three is out":             {[]bool{false, true, false}, 50, []int64{29, 2, 29}},
		"most of them are out":            {[]bool{true, true, false, true}, 75, []int64{2, 2, 54, 2}},
		"none may be out":                 {[]bool{false, true}, 0, []int64{30, 30}},
		"the last one is never out":       {[]bool{true, true}, 100, []int64{2, 58}},
		"a single one is never out":       {[]bool{true}, 100, []int64{60}},
		"not more are out than they may":  {[]bool{true, true}, 40, []int64{30, 30}},
		"half of them at most by default": {[]bool{true, true, true}, policy.DefaultBreaker().MaxEjectedPercent, []int64{2, 29, 29}},
	}
}

// check compares what the endpoints have got: exactly as much as wanted, but for whose turn it is first.
func (e *ejectionCase) check(t *testing.T, got []int64) {
	t.Helper()
	want := slices.Clone(e.want)
	if !slices.Contains(e.fails, false) { // it is up to chance which of them is out first
		slices.Sort(got)
		slices.Sort(want)
	}
	for i := range got {
		if diff := got[i] - want[i]; want[i] == 2 && diff != 0 || diff < -1 || diff > 1 {
			t.Errorf("the endpoints got %v, want about %v", got, want)
			return
		}
	}
}

// An endpoint that fails is left out while the others serve, and no call is rejected.
//
//enforces:http1 circuitBreaker.scope circuitBreaker.maxEjectedPercent
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestRule22_AFailingEndpointIsLeftOut(t *testing.T) {
	for name, tc := range ejectionCases() {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, len(tc.fails))
			var endpoints []netip.AddrPort
			for i, fails := range tc.fails {
				endpoints = append(endpoints, counted(t, &n[i], always(answer(statusOfEndpoint(fails), ""))))
			}
			w := build(t, endpoints[0])
			w.shop(eachEndpoint(tc.most), endpoints...)
			c := w.dial()
			for range 60 {
				if res, _ := c.get("/"); res.Header.Get("fairlead-reason") != "" {
					t.Fatalf("a call was rejected: %s", res.Header.Get("fairlead-reason"))
				}
			}
			tc.check(t, counts(n))
		})
	}
}

func statusOfEndpoint(fails bool) int {
	if fails {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

func counts(n []atomic.Int64) (all []int64) {
	for i := range n {
		all = append(all, n[i].Load())
	}
	return all
}

//enforces:http2 circuitBreaker.scope circuitBreaker.maxEjectedPercent
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestRule22_AFailingEndpointIsLeftOutOverHTTP2(t *testing.T) {
	for name, tc := range ejectionCases() {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, len(tc.fails))
			var endpoints []netip.AddrPort
			for i, fails := range tc.fails {
				endpoints = append(endpoints, countedH2(t, n[i:i+1], statusOfEndpoint(fails))...)
			}
			w := build(t, endpoints[0])
			w.shopOf(policy.ProtocolHTTP2, eachEndpoint(tc.most), endpoints...)
			c := w.dialH2(http2test.Options{})
			for range 60 {
				if head := getH2(t, c, "/"); head.Get("fairlead-reason") != "" {
					t.Fatalf("a call was rejected: %v", head)
				}
			}
			tc.check(t, counts(n))
		})
	}
}

//enforces:grpc circuitBreaker.scope circuitBreaker.maxEjectedPercent
//notover:originate,intercept the agent speaks TLS to hosts alone
func TestRule22_AFailingEndpointIsLeftOutByGRPC(t *testing.T) {
	for name, tc := range ejectionCases() {
		t.Run(name, func(t *testing.T) {
			n := make([]atomic.Int64, len(tc.fails))
			var endpoints []netip.AddrPort
			for i, fails := range tc.fails {
				endpoints = append(endpoints, serveRPC(t, unaryServer(func(context.Context, int) error {
					n[i].Add(1)
					if fails {
						return rpcstatus.Error(codes.Unavailable, "")
					}
					return nil
				})))
			}
			w := build(t, endpoints[0])
			w.shopOf(policy.ProtocolGRPC, eachEndpoint(tc.most), endpoints...)
			c := w.clientRPC()
			for range 60 {
				_, trailer := unaryCall(t, c, bound(t))
				if w.seen.lastCall(t); reasonOf(trailer) != "" {
					t.Fatalf("a call was rejected: %s", reasonOf(trailer))
				}
			}
			tc.check(t, counts(n))
		})
	}
}

// notingDialer counts the connects to each address.
type notingDialer struct {
	transport.Dialer
	mu    sync.Mutex
	dials map[netip.AddrPort]int // guarded by mu
}

func (d *notingDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	d.mu.Lock()
	d.dials[to]++
	d.mu.Unlock()
	return d.Dialer.Dial(ctx, to)
}

func (d *notingDialer) counts() map[netip.AddrPort]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.dials)
}

// What one pod has found out of an endpoint that cannot be connected to holds for the connections of the others.
//
//enforces:opaque circuitBreaker.scope circuitBreaker.maxEjectedPercent
func TestRule22_AnEndpointThatCannotBeConnectedToIsLeftOut(t *testing.T) {
	up := serve(t, copying)
	dead := []netip.AddrPort{closedAddress(t), closedAddress(t), closedAddress(t)}
	d := &notingDialer{Dialer: &plainDialer{notifier: &notifier{}}, dials: map[netip.AddrPort]int{}}
	b := declaredTCP(func(s *policy.Settings) {
		eachEndpoint(75)(s)
		s.Breaker.ConsecutiveFailures, s.Retry.MaxRetries, s.Retry.On = 1, 3, policy.Of(policy.ConnectFailure)
	})
	b.To.Kind, b.To.Service = policy.TargetService, "ns/shop"
	n := buildNeighboursAt(t, up, d, map[string]*policy.Destination{"ns/shop": {
		Name: "ns/shop", ClusterIPs: []netip.Addr{up.Addr()},
		Ports: []policy.DestinationPort{{Port: up.Port(), Endpoints: policy.Ready(append(dead, up)...)}},
	}}, b)
	for range 8 {
		if !n.dial(pod).reached() {
			t.Fatal("not reached")
		}
	}
	for range 12 {
		if !n.dial("other").reached() {
			t.Fatal("not reached")
		}
	}
	if dials := d.counts(); len(dials) != 1 || dials[up] != 12 {
		t.Errorf("the other pod has connected to %v", dials)
	}
}
