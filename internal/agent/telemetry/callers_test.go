package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

var (
	cart    = policy.Caller{Namespace: "shop", Workload: "cart"}
	reports = policy.Caller{Namespace: "shop", Workload: "reports"}
)

// callersMeter counts callers apart, with room for n recorders in metrics; 0: as many as by default.
func callersMeter(n int) *Meter {
	return New(Options{Logger: slog.New(slog.DiscardHandler), Callers: true, MaxSeries: (n + 1) * seriesPerTarget * min(n, 1)})
}

// requestsBy are the calls that metrics show, by caller.
func requestsBy(t *testing.T, m *Meter) []string {
	t.Helper()
	var out []string
	for _, line := range scrapeText(t, m, "fairlead_proxy_requests_total{") {
		out = append(out, strings.NewReplacer(`,code="2xx",kind="ok"`, "", "fairlead_proxy_requests_total", "", `,target="`+inventory+`"`, "").Replace(line))
	}
	return out
}

type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

// callersSnapshot is a node's with a pod for each caller, and one more of the first.
func callersSnapshot(callers ...policy.Caller) *policy.Snapshot {
	s := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: payments, To: policy.Target{Kind: policy.TargetService, Service: "warehouse/inventory"}, Base: policy.Defaults(),
		}}}},
		Destinations: map[string]*policy.Destination{"warehouse/inventory": {
			Name: "warehouse/inventory", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.7")},
			Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(netip.MustParseAddrPort("10.1.0.1:8080"))}},
		}},
	}
	for i, c := range append(callers, callers[0]) {
		uid := fmt.Sprint("pod-", i)
		s.Workloads[uid] = &policy.Workload{UID: uid, Namespace: c.Namespace, Name: uid, Profile: "p", Owner: policy.Owner{Kind: "Deployment", Name: c.Workload}}
	}
	return s
}

// callFrom has a pod make calls, of the last of which it is asked who made it as it is for connections that are passed through.
func callFrom(t *testing.T, table *routes.Table, pod string, calls int) {
	t.Helper()
	to := netip.MustParseAddrPort("10.96.0.7:80")
	of := table.PodRoutes(pod)
	c := of.Candidates(to)
	r, err := of.Route(&c[0], nil, to)
	if err != nil {
		t.Fatal(err)
	}
	for range calls - 1 {
		r.Recorder().CallDone(ended(call.OK, call.NotNeeded, 200))
	}
	c[0].Recorder().CallDone(ended(call.OK, call.NotNeeded, 200))
}

// Pods of one Deployment are one caller; the other one is another. A pod that is adopted calls for its new owner.
func TestCallsAreCountedByCaller(t *testing.T) {
	for name, tc := range map[string]struct {
		apart bool
		want  []string
	}{
		"apart": {true, []string{
			`{caller_namespace="shop",caller_workload="cart",policy="shop/payments"} 5`,
			`{caller_namespace="shop",caller_workload="reports",policy="shop/payments"} 12`,
		}},
		"together": {false, []string{`{code="2xx",kind="ok",policy="shop/payments"} 17`}},
	} {
		t.Run(name, func(t *testing.T) {
			m := New(Options{Logger: slog.New(slog.DiscardHandler), Callers: tc.apart})
			table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Observer: m})
			if err != nil {
				t.Fatal(err)
			}
			s := callersSnapshot(cart, reports)
			if r := table.Install(s); len(r) > 0 {
				t.Fatal(r)
			}
			callFrom(t, table, "pod-0", 2)
			callFrom(t, table, "pod-1", 4)
			callFrom(t, table, "pod-2", 3)
			adopted := *s.Workloads["pod-2"]
			adopted.Owner.Name = "reports"
			s.Workloads["pod-2"] = &adopted
			if r := table.Install(s); len(r) > 0 {
				t.Fatal(r)
			}
			callFrom(t, table, "pod-2", 8)
			if diff := cmp.Diff(tc.want, requestsBy(t, m)); diff != "" {
				t.Error(diff)
			}
			if labelled := len(scrapeText(t, m, "fairlead_proxy_request_duration_seconds_count{caller_")); (labelled == 2) != tc.apart {
				t.Errorf("%d durations by caller", labelled)
			}
			if r := m.Report(); len(r.Traffic) != 1 || r.Traffic[0].Counts.Requests != 17 {
				t.Errorf("reported: %+v", r.Traffic)
			}
		})
	}
}

// Callers for whom there is no room are counted together, and take none from policies. Where one is gone, those that come then have its place;
// what it has counted stays in what is reported.
func TestCallersAreCapped(t *testing.T) {
	m := callersMeter(2)
	r := m.Recorder(payments, inventory)
	other := policy.ID{Namespace: "shop", Name: "other"}
	count := func(of routes.Recorder, calls int) {
		for range calls {
			of.CallDone(ended(call.OK, call.NotNeeded, 200))
		}
	}
	count(r.ForCaller(cart), 1)
	count(r.ForCaller(reports), 2)
	count(m.Recorder(other, inventory).ForCaller(cart), 4)
	const overflow = `{caller_namespace="",caller_workload="overflow",policy=`
	want := []string{
		overflow + `"overflow",target="overflow"} 4`,
		overflow + `"shop/payments"} 2`,
		`{caller_namespace="shop",caller_workload="cart",policy="shop/payments"} 1`,
	}
	if diff := cmp.Diff(want, requestsBy(t, m)); diff != "" {
		t.Error(diff)
	}
	now := m.epoch
	var reported uint64
	report := func() {
		now = now.Add(lingering)
		for _, t := range m.reportAt(now).Traffic {
			reported += t.Counts.Requests
		}
	}
	s := callersSnapshot(reports)
	s.Profiles["p"].Bindings = append(s.Profiles["p"].Bindings, policy.Binding{Policy: other, To: s.Profiles["p"].Bindings[0].To})
	m.Installed(now, s)
	report()
	count(r.ForCaller(reports), 8)
	report()
	report()
	if reported != 15 {
		t.Errorf("%d calls reported, want 15", reported)
	}
	want = []string{ // the place is the policy's that has waited for it
		overflow + `"overflow",target="overflow"} 4`,
		overflow + `"shop/other"} 4`,
		overflow + `"shop/payments"} 10`,
	}
	if diff := cmp.Diff(want, requestsBy(t, m)); diff != "" {
		t.Error(diff)
	}
}

// A caller that is gone and comes back begins anew, but not while a connection of its is open: what is open would never end.
func TestCallersThatAreGoneAreForgotten(t *testing.T) {
	m := callersMeter(0)
	r := m.Recorder(payments, inventory)
	of := r.ForCaller(cart)
	of.OpaqueOpened()
	m.Installed(t0, callersSnapshot(reports))
	at := t0
	open := func() int {
		at = at.Add(lingering)
		return m.reportAt(at).Traffic[0].OpaqueOpen
	}
	for range 3 {
		if n := open(); n != 1 || r.ForCaller(cart) != of {
			t.Fatalf("%d connections are open", n)
		}
		m.Installed(t0, callersSnapshot(reports))
	}
	of.OpaqueClosed(1, 1)
	for range 3 {
		at = at.Add(lingering)
		m.reportAt(at)
	}
	if len(scrapeText(t, m, "fairlead_proxy_opaque_connections_total{")) != 0 {
		t.Error("a caller that is gone is shown")
	}
	r.OpaqueOpened()
	if n := open(); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
	if r.ForCaller(cart) == of {
		t.Error("what it has counted comes back")
	}
}

// Nothing that is counted for one caller makes metrics that clash, or more than are promised for it.
func TestEveryFamilyIsCollectedByCaller(t *testing.T) {
	m := callersMeter(0)
	r := m.Recorder(payments, inventory)
	exercise(r)
	exercise(r.ForCaller(cart))
	exercise(r.ForCaller(policy.Caller{Namespace: "overflow", Workload: "overflow"}))
	for _, f := range catalogue {
		byCaller := strings.Contains(strings.Join(scrapeText(t, m, f.name), ""), `caller_namespace="shop"`)
		if byCaller != (f.scope == ofCaller) {
			t.Errorf("%s has labels of callers: %v", f.name, byCaller)
		}
	}
	for _, of := range []string{`caller_workload="cart"`, `caller_namespace="overflow"`, `caller_namespace=""`} {
		n := 0
		for _, line := range scrapeText(t, m, "fairlead_") {
			if strings.Contains(line, of) {
				n++
			}
		}
		if n > seriesPerTarget || n < seriesPerTarget/2 {
			t.Errorf("%d series of %s, documented are %d", n, of, seriesPerTarget)
		}
	}
}

func TestCountingByCallerDoesNotAllocate(t *testing.T) {
	r := callersMeter(0).Recorder(payments, inventory)
	of := r.ForCaller(cart)
	attempt := &routes.Attempt{Kind: call.OK, Status: 200, Took: time.Millisecond}
	e := ended(call.OK, call.NotNeeded, 200)
	if n := testing.AllocsPerRun(1000, func() { of.AttemptDone(attempt); of.CallDone(e); of.OpaqueOpened() }); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
	if n := testing.AllocsPerRun(1000, func() { of = r.ForCaller(cart) }); n != 0 {
		t.Errorf("%v allocations per route", n)
	}
}

// A counter that is in no list would be in no sum.
func TestListsHaveEveryCounter(t *testing.T) {
	var c counts
	n := 0
	for _, list := range c.lists() {
		n += len(list)
		for i := range list {
			list[i]++
		}
	}
	if size := int(reflect.TypeFor[counts]().Size()) / 8; n != size {
		t.Errorf("%d counters in lists, %d in all", n, size)
	}
	twice := c
	twice.plus(&c)
	for _, list := range twice.lists() {
		for _, k := range list {
			if k != 2 {
				t.Fatal("a counter is in two lists, or is not added")
			}
		}
	}
}
