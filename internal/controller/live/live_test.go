package live

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/inventory"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var clusterIP = netip.MustParseAddrPort("10.96.0.7:80")

// options are those of a manager that has heard of two flows a minute ago.
func options() Options {
	now := time.Now()
	o := Options{
		EgressExpires: func() int64 { return 0 },
		HasBreaker:    func(policy.ID) bool { return true },
		Store:         distribute.NewStore(distribute.StoreOptions{}), Inventory: inventory.New(0, now.Add(-time.Minute)), Changes: changes.New(),
		ServiceAt: func(a netip.AddrPort) string {
			if a == clusterIP {
				return "warehouse/inventory:80"
			}
			return ""
		},
	}
	o.Store.Serving().Start()
	cart := policy.Flow{
		Caller: policy.Caller{Namespace: "shop", Workload: "cart"}, Policy: policy.ID{Kind: policy.KindClusterRetryPolicy, Name: "all"}, Target: "any",
		Destination: "inventory.warehouse:80", Address: clusterIP, Protocol: policy.FlowHTTP, Counts: policy.FlowCounts{Calls: 60, Successes: 54, Retries: 3},
	}
	cart.Latency[policy.LatencyBucket(10*time.Millisecond)] = 60
	web := cart
	web.Caller.Workload, web.Destination, web.Address, web.Protocol = "web", "api.example:443", netip.MustParseAddrPort("192.0.2.1:443"), policy.FlowTLS
	web.Counts.Calls = 6
	o.Inventory.Add(now.Add(-time.Minute), []policy.Flow{cart, web, {Counts: policy.FlowCounts{Calls: 9}}})
	o.Changes.Add(liveapi.Change{At: now.Add(-time.Hour), Kind: changes.AgentGone, Node: "n1"})
	o.Changes.Add(liveapi.Change{At: now.Add(-time.Minute), Kind: "BreakerOpened", Policy: "shop/a", Target: "any"})
	return o
}

func ask(o Options, query string) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest(http.MethodGet, query, nil), httptest.NewRecorder()
	r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost"
	Handler(o).ServeHTTP(w, r)
	return w
}

func answer[T any](t *testing.T, o Options, query string) (v T) {
	t.Helper()
	w := ask(o, query)
	if err := json.Unmarshal(w.Body.Bytes(), &v); w.Code != http.StatusOK || err != nil {
		t.Fatalf("%s: %d %s (%v)", query, w.Code, w.Body, err)
	}
	return v
}

func TestTheInventoryIsAnswered(t *testing.T) {
	o := options()
	got := answer[liveapi.Inventory](t, o, liveapi.InventoryPath+"?since=10m&step=10s")
	if len(got.Flows) != 2 || got.Other.Calls != 9 || got.StepSeconds != 10 {
		t.Fatalf("%+v", got)
	}
	f := got.Flows[0]
	covered := got.To.Sub(got.From).Seconds()
	if f.Namespace != "shop" || f.Workload != "cart" || f.Destination != "inventory.warehouse:80" || f.Service != "warehouse/inventory:80" ||
		f.Protocol != "HTTP" || f.Policy != "all" || f.Target != "any" || f.Calls != 60 || f.Successes != 54 || f.Retries != 3 ||
		f.PerSecond*covered < 59 || f.PerSecond*covered > 61 || f.P50Seconds < 0.008 || f.P50Seconds > 0.012 {
		t.Errorf("%+v over %f s", f, covered)
	}
	if len(f.Points) != int(covered/10) || f.Points[0].Calls != 60 {
		t.Errorf("points: %+v", f.Points)
	}
	if got.Flows[1].Service != "" || got.Flows[1].Protocol != "TLS" {
		t.Errorf("%+v", got.Flows[1])
	}
	for query, want := range map[string]int{"?workload=web&since=10m": 1, "?destination=EXAMPLE&since=10m": 1, "?destination=example&exact=true&since=10m": 0, "?destination=api.example:443&exact=true&since=10m": 1, "?namespace=other&since=10m": 0, "?policy=all&since=10m": 2} {
		if got := answer[liveapi.Inventory](t, o, liveapi.InventoryPath+query); len(got.Flows) != want || got.Flows == nil {
			t.Errorf("%s: %+v", query, got.Flows)
		}
	}
	if got := answer[liveapi.Inventory](t, o, liveapi.InventoryPath+"?limit=1&since=10m"); len(got.Flows) != 1 || got.LeftOut != 1 || got.LeftOutCalls != 6 || got.Total.Calls != 66 {
		t.Errorf("%+v", got)
	}
}

// Closed are breakers that there are; what is open is there.
func TestBreakersThatThereAreNotHaveNoState(t *testing.T) {
	for _, tc := range []struct {
		of   distribute.Breakers
		has  bool
		want string
	}{
		{distribute.Breakers{}, true, "closed"}, {distribute.Breakers{}, false, ""}, {distribute.Breakers{HalfOpen: 1}, true, "half_open"},
		{distribute.Breakers{Open: 1, HalfOpen: 2}, false, "open"},
	} {
		if got := stateOf(&tc.of, tc.has); got != tc.want {
			t.Errorf("%+v, %t: %q, want %q", tc.of, tc.has, got, tc.want)
		}
	}
}

// A sum over time costs no more than its own points, however many flows there are.
func TestTheTotalOverTimeIsAnswered(t *testing.T) {
	got := answer[liveapi.Inventory](t, options(), liveapi.InventoryPath+"?since=10m&step=10s&limit=1&points=total")
	if len(got.Flows) != 1 || got.Flows[0].Points != nil || len(got.Total.Points) == 0 || got.Total.Points[0].Calls != 66 || got.Total.Points[0].Successes != 108 {
		t.Errorf("%+v", got)
	}
}

func TestTheManagerSaysItsTimeAndWhenTheEgressCAEnds(t *testing.T) {
	o, before := options(), time.Now()
	got := answer[liveapi.ManagerState](t, o, liveapi.ManagerPath)
	if got.At.Before(before) || got.At.After(time.Now()) || !got.EgressCAExpires.IsZero() {
		t.Errorf("%+v, want no CA", got)
	}
	end := time.Date(2031, 3, 28, 0, 0, 0, 0, time.UTC)
	o.EgressExpires = end.Unix
	if got = answer[liveapi.ManagerState](t, o, liveapi.ManagerPath); !got.EgressCAExpires.Equal(end) {
		t.Errorf("it ends at %s, want %s", got.EgressCAExpires, end)
	}
	if w := ask(o, liveapi.ManagerPath+"?x=1"); w.Code != http.StatusBadRequest {
		t.Errorf("a parameter that there is not: %d", w.Code)
	}
}

func TestChangesAreAnswered(t *testing.T) {
	o := options()
	for query, want := range map[string]int{"": 1, "?since=2h": 2, "?since=2h&node=n1": 1, "?kind=breakeropened": 1, "?policy=shop/b": 0, "?target=any": 1, "?target=host+a": 0, "?since=2h&limit=1": 1} {
		if got := answer[liveapi.List[liveapi.Change]](t, o, liveapi.ChangesPath+query); len(got.Items) != want || got.Items == nil {
			t.Errorf("%s: %+v", query, got.Items)
		}
	}
}

func TestNodesAndTrafficAreAnswered(t *testing.T) {
	o := options()
	if got := answer[liveapi.List[liveapi.Node]](t, o, liveapi.NodesPath); got.Items == nil {
		t.Errorf("%+v", got)
	}
	if got := answer[liveapi.List[liveapi.Traffic]](t, o, liveapi.TrafficPath+"?policy=a"); got.Items == nil {
		t.Errorf("%+v", got)
	}
}

func TestWhatCannotBeAnsweredIsRefused(t *testing.T) {
	without, follower := options(), options()
	without.Inventory = nil
	follower.Store.Serving().Stop()
	for query, tc := range map[string]struct {
		o      Options
		status int
		says   string
	}{
		liveapi.InventoryPath + "?since=2h":                   {options(), 400, `since is "2h"; write a duration from 10s to 1h, such as 1m`},
		liveapi.InventoryPath + "?step=1s":                    {options(), 400, "step is"},
		liveapi.InventoryPath + "?limit=0":                    {options(), 400, "write a number from 1 to 4096"},
		liveapi.InventoryPath + "?points=all":                 {options(), 400, "write one of: flows, total"},
		liveapi.InventoryPath + "?by=pod":                     {options(), 400, "there is no parameter"},
		liveapi.InventoryPath + "?limit=5":                    {without, 404, "--inventory-flows"},
		liveapi.ChangesPath + "?since=%00":                    {options(), 400, "since is"},
		liveapi.ChangesPath + "?since=1h&since=2h":            {options(), 400, "give it once"},
		liveapi.NodesPath + "?node=a":                         {options(), 400, "there is no parameter"},
		liveapi.TrafficPath + "?" + strings.Repeat("a", 9999): {options(), 400, "too long"},
		liveapi.TrafficPath:                                   {follower, 503, "does not lead"},
	} {
		if w := ask(tc.o, query); w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%.60s: %d %s", query, w.Code, w.Body)
		}
	}
	r, w := httptest.NewRequest(http.MethodGet, liveapi.NodesPath, nil), httptest.NewRecorder()
	r.RemoteAddr, r.Host = "10.0.0.7:4000", "localhost"
	Handler(options()).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("another pod is answered: %d", w.Code)
	}
}

// A long time in short steps of many flows is cut to what can be answered.
func TestPointsAreBounded(t *testing.T) {
	o := options()
	now := time.Now()
	many := make([]policy.Flow, 200)
	for i := range many {
		many[i] = policy.Flow{Caller: policy.Caller{Workload: strings.Repeat("w", i+1)}, Destination: "a:80", Counts: policy.FlowCounts{Calls: 1}}
	}
	o.Inventory = inventory.New(1000, now.Add(-time.Hour))
	o.Inventory.Add(now.Add(-time.Hour), many)
	got := answer[liveapi.Inventory](t, o, liveapi.InventoryPath+"?since=1h&step=10s&limit=4096")
	points := 0
	for _, f := range got.Flows {
		points += len(f.Points)
	}
	if points > maxPoints || got.LeftOut != 200-len(got.Flows) || len(got.Flows) < 100 {
		t.Errorf("%d points of %d flows, %d left out", points, len(got.Flows), got.LeftOut)
	}
}

func TestServingEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := liveapi.Serve(ctx, "the live API", "127.0.0.1:0", Handler(options())); err != nil {
		t.Error(err)
	}
	if err := liveapi.Serve(t.Context(), "the live API", "256.0.0.1:0", nil); err == nil || !strings.Contains(err.Error(), "serve the live API") {
		t.Errorf("an address that there is not: %v", err)
	}
}
