package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/agent/telemetry/flows"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

const tappedPod = "uid-1"

// called is what the pod calls: the cluster IP of a Service.
var called = netip.MustParseAddrPort("10.96.0.7:80")

// dialer connects to the server, whatever is called.
type dialer struct{ server string }

func (d dialer) Dial(ctx context.Context, _ netip.AddrPort) (transport.Socket, error) {
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", d.server)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// liveAgent is an agent's data plane with the pages of its live API, between clients and a server.
type liveAgent struct {
	*Agent
	flows  *flows.Book
	client *http.Client // the pod's
	pages  *httptest.Server
}

// startLive has a policy enforced for the calls of a pod.
func startLive(t *testing.T, server *httptest.Server, change func(*policy.Settings)) *liveAgent {
	t.Helper()
	return startWith(t, server, snapshotOf(server, change))
}

// startWith has the policies of a snapshot in force.
func startWith(t *testing.T, server *httptest.Server, s *policy.Snapshot) *liveAgent {
	t.Helper()
	a := &Agent{opts: Options{Node: "node-1"}}
	book := flows.New()
	a.taps = taps.New(func(string) (string, string) { return "shop/checkout-1", "Deployment/checkout" })
	a.meter = telemetry.New(telemetry.Options{Logger: slog.New(slog.DiscardHandler), Taps: a.taps, Inventory: book})
	book.Want(true)
	var err error
	a.routes, err = routes.New(routes.Options{
		Dialer: func(string) upstream.Dialer { return dialer{server.Listener.Addr().String()} }, Observer: a.meter,
	})
	if err != nil {
		t.Fatal(err)
	}
	if refused := a.routes.Install(s); len(refused) > 0 {
		t.Fatal(refused)
	}
	if a.proxy, err = proxy.New(proxy.Options{Store: a.routes, Events: a.meter}); err != nil {
		t.Fatal(err)
	}
	l := &liveAgent{Agent: a, flows: book}
	l.serve(t)
	all := http.NewServeMux()
	all.HandleFunc(liveapi.TapPath, a.taps.Handler("node-1"))
	l.pages = httptest.NewServer(all)
	t.Cleanup(l.pages.Close)
	return l
}

func snapshotOf(server *httptest.Server, change func(*policy.Settings)) *policy.Snapshot {
	s := policy.Defaults()
	s.Retry.Backoff.Initial, s.Retry.Backoff.Max = time.Millisecond, time.Millisecond
	s.Retry.Budget = policy.Budget{Percent: 100, MinPerSecond: 1000, Window: 10 * time.Second}
	change(&s)
	id := policy.ID{Namespace: "shop", Name: "payments"}
	return &policy.Snapshot{
		Workloads: map[string]*policy.Workload{tappedPod: {UID: tappedPod, Namespace: "shop", Name: "checkout-1", Profile: "p", Owner: policy.Owner{Kind: "Deployment", Name: "checkout"}}},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: id, Merged: []policy.ID{{Kind: policy.KindClusterRetryPolicy, Name: "base"}, id},
			To:   policy.Target{Kind: policy.TargetService, Service: "shop/payments", Protocol: policy.ProtocolHTTP},
			Base: s, Rules: []policy.Rule{{Name: "charge", Settings: s}},
		}}}},
		Destinations: map[string]*policy.Destination{"shop/payments": {
			Name: "shop/payments", ClusterIPs: []netip.Addr{called.Addr()},
			Ports: []policy.DestinationPort{{Port: called.Port(), Endpoints: policy.Ready(netip.MustParseAddrPort(server.Listener.Addr().String()))}},
		}},
	}
}

// serve accepts the pod's connections as capture does.
func (l *liveAgent) serve(t *testing.T) {
	t.Helper()
	made, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	captured, err := transport.NewListener(made.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	at := made.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { _ = l.routes.Run(ctx) })
	runs.Go(func() {
		for {
			c, err := captured.Accept()
			if err != nil {
				return
			}
			runs.Go(func() { l.proxy.ServeCaptured(tappedPod, c, called) })
		}
	})
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var nd net.Dialer
		return nd.DialContext(ctx, "tcp", at)
	}}
	l.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		_ = captured.Close()
		ending, end := context.WithTimeout(context.Background(), time.Minute)
		defer end()
		if err := l.proxy.Shutdown(ending); err != nil {
			t.Error(err)
		}
		cancel()
		runs.Wait()
	})
}

func (l *liveAgent) call(t *testing.T, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://payments.shop"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	res, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

// tap opens a tap and returns its lines, once it is open.
func (l *liveAgent) tap(t *testing.T, query string) func() (line liveapi.TapLine, text string) {
	t.Helper()
	res, err := l.pages.Client().Get(l.pages.URL + liveapi.TapPath + query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	from := bufio.NewReader(res.Body)
	next := func() (line liveapi.TapLine, text string) {
		b, err := from.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &line); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		return line, string(b)
	}
	next()
	return func() (line liveapi.TapLine, text string) {
		for line.Call == nil {
			line, text = next()
		}
		return line, text
	}
}

// A real call that fails once and is retried is shown with both of its attempts; one that a tap has not asked for is not.
func TestATapShowsRealCalls(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	l := startLive(t, server, func(s *policy.Settings) { s.Retry.On = policy.Of(policy.GatewayError) })
	next := l.tap(t, "?outcome=retried&host=payments.shop")
	for i, path := range []string{"/first", "/second?card=4111", "/third"} {
		if got := l.call(t, path); got != 200 {
			t.Errorf("call %d got %d", i, got)
		}
	}
	line, text := next()
	c := line.Call
	if c.Path != "/second" || c.Pod != "shop/checkout-1" || c.Workload != "Deployment/checkout" || c.Policy != "shop/payments" ||
		c.Status != 200 || c.Decision != "recovered" || c.To != called || c.Attempts != 2 || line.Node != "node-1" || c.TookSeconds <= 0 {
		t.Errorf("shown as %s", text)
	}
	var results []string
	for _, a := range c.Tried {
		results = append(results, a.Start+" "+a.Endpoint.String()+" "+a.Result)
		if a.TookSeconds <= 0 {
			t.Errorf("an attempt took no time: %s", text)
		}
	}
	at := server.Listener.Addr().String()
	if diff := cmp.Diff([]string{"first " + at + " 503", "retry " + at + " 200"}, results); diff != "" {
		t.Error(diff)
	}
	if n.Load() != 4 {
		t.Errorf("%d calls at the upstream", n.Load())
	}
}

// What real failures have opened is listed, with the node's word for why.
func TestBreakersAndEndpointsOfRealCalls(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer server.Close()
	l := startLive(t, server, func(s *policy.Settings) {
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.ErrorRate = 3, nil
		s.Breaker = &b
	})
	for range 4 {
		l.call(t, "/")
	}
	now := time.Now()
	all := l.liveBreakers(now)
	if len(all) != 1 || all[0].State != "open" || all[0].OpenedBy != "node" || all[0].Opened != 1 || all[0].Destination != "shop/payments:80" ||
		all[0].Policy != "shop/payments" || all[0].Target != "service shop/payments" || !all[0].Until.After(now) {
		t.Errorf("breakers: %+v", all)
	}
	of := l.liveEndpoints(now)
	if len(of) != 1 || len(of[0].Endpoints) != 1 || of[0].Endpoints[0].Address.String() != server.Listener.Addr().String() || of[0].Endpoints[0].Outstanding != 0 {
		t.Errorf("endpoints: %+v", of)
	}
}

// Limits are listed with what is in force here, and what the policy says.
func TestLimitsOfRealCalls(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	l := startLive(t, server, func(s *policy.Settings) {
		s.RateLimit = &policy.RateLimit{Requests: 600, Per: time.Minute, Burst: 5, Scope: policy.ShareNode}
		s.Concurrency = &policy.Concurrency{Max: 7, Scope: policy.ShareNode}
	})
	if all := l.liveLimits(); len(all) != 0 {
		t.Errorf("before any call: %+v", all)
	}
	l.call(t, "/")
	of := liveapi.Limit{Policy: "shop/payments", Target: "service shop/payments", Destination: "shop/payments:80"}
	rate, places := of, of
	rate.Kind, rate.Scope, rate.Max, rate.Here = "Rate", "Node", 10, 10
	places.Kind, places.Scope, places.Max, places.Here = "Concurrency", "Node", 7, 7
	l.reportedFlows(t, 1) // its place is free before
	if diff := cmp.Diff([]liveapi.Limit{rate, places}, l.liveLimits()); diff != "" {
		t.Error(diff)
	}
}

func TestPoliciesAreListedOnceWithTheirPods(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	s := snapshotOf(server, func(*policy.Settings) {})
	s.Workloads["uid-2"] = &policy.Workload{UID: "uid-2", Namespace: "shop", Name: "cart-1", Profile: "q"}
	s.Profiles["q"] = &policy.Profile{Name: "q", Bindings: s.Profiles["p"].Bindings}
	want := []liveapi.Policy{{
		Policy: "shop/payments", Merged: []string{"base", "shop/payments"}, Target: "service shop/payments", Mode: "Enforce",
		Rules: []string{"charge"}, Pods: []string{"shop/cart-1", "shop/checkout-1"},
	}}
	if diff := cmp.Diff(want, livePolicies(s)); diff != "" {
		t.Error(diff)
	}
}

func TestAListIsAnsweredOfOnePolicy(t *testing.T) {
	page := listed("node-1", func(q *liveapi.Query, _ time.Time) []liveapi.Breaker {
		return ofPolicy(q, []liveapi.Breaker{{Policy: "shop/a"}, {Policy: "b"}}, func(b *liveapi.Breaker) string { return b.Policy })
	})
	for query, want := range map[string]int{"": 2, "?policy=b": 1, "?policy=c": 0} {
		w := httptest.NewRecorder()
		page(w, httptest.NewRequest(http.MethodGet, "/"+query, nil))
		var got liveapi.List[liveapi.Breaker]
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Items == nil || len(got.Items) != want || got.Node != "node-1" {
			t.Errorf("%q: %s (%v)", query, w.Body, err)
		}
	}
	w := httptest.NewRecorder()
	page(w, httptest.NewRequest(http.MethodGet, "/?node=b", nil))
	if w.Code != http.StatusBadRequest {
		t.Errorf("an unknown parameter: %d %s", w.Code, w.Body)
	}
}

// reportedFlows waits until calls are reported: they are counted when their responses have been passed on.
func (l *liveAgent) reportedFlows(t *testing.T, calls uint64) []policy.Flow {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var all []policy.Flow
	for sum := uint64(0); sum < calls; {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%d calls of %d are counted", sum, calls)
		}
		for _, f := range l.flows.Report(time.Now().Add(time.Duration(len(all)+1) * time.Hour)) {
			sum += f.Counts.Calls
			all = append(all, f)
		}
	}
	return all
}

// Calls that nothing governs are in the inventory once a dry run looks at them, by the hosts that they are for and with how they end.
func TestTheInventoryHasCallsThatOnlyADryRunLooksAt(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	s := snapshotOf(server, func(s *policy.Settings) { s.Retry.On = policy.Of(policy.GatewayError) })
	b := &s.Profiles["p"].Bindings[0]
	b.Mode, b.Policy, b.Rules = policy.ModeDryRun, policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "inventory"}, nil
	b.To = policy.Target{Kind: policy.TargetAny}
	l := startWith(t, server, s)
	l.call(t, "/")
	l.call(t, "/down")
	l.call(t, "/")
	var got policy.Flow
	for _, f := range l.reportedFlows(t, 3) {
		got.Add(&f)
		f.Counts, f.Latency = policy.FlowCounts{}, policy.Latency{}
		want := policy.Flow{
			Caller: policy.Caller{Namespace: "shop", Workload: "checkout"}, Policy: b.Policy, Target: "any", Destination: "payments.shop:80",
			Address: called, Protocol: policy.FlowHTTP,
		}
		if f != want {
			t.Errorf("reported %+v, want %+v", f, want)
		}
	}
	if got.Counts != (policy.FlowCounts{Calls: 3, Successes: 2}) || n.Load() != 3 {
		t.Errorf("%+v; %d calls at the upstream", got.Counts, n.Load())
	}
}

// Calls that a policy governs are in the inventory as well, with the attempts that were retries.
func TestTheInventoryHasCallsThatAreGoverned(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	l := startLive(t, server, func(s *policy.Settings) { s.Retry.On = policy.Of(policy.GatewayError) })
	l.call(t, "/")
	got := l.reportedFlows(t, 1)
	if len(got) != 1 || got[0].Destination != "shop/payments:80" || got[0].Counts != (policy.FlowCounts{Calls: 1, Successes: 1, Retries: 1}) {
		t.Errorf("reported %+v", got)
	}
}
