package drive

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// A place that is granted in the last moment is taken.
func TestRule25_TheGrantWins(t *testing.T) {
	x := placing(t, policy.Pool{MaxConnections: 1, MaxPending: 1, PendingTimeout: time.Nanosecond})
	for range 50 {
		var holder upstream.Request
		holder.Original, x.slot.Original = x.Client.Original, x.Client.Original
		x.Now = time.Now()
		first, _ := x.Route.Pool.Acquire(x.Now, &holder)
		second, _ := x.Route.Pool.Acquire(x.Now, &x.slot)
		if first != upstream.Dial || second != upstream.Parked {
			t.Fatal("the pool is not as it should be")
		}
		x.Call.Begin(x.Now, &x.Plan.Plan, call.Request{})
		x.Route.Pool.Cancel(x.Now, &holder) // and so the other is granted
		if _, ok := x.queue(nothingKept{}, call.Action{Until: x.Now.Add(-time.Second)}); !ok {
			t.Fatalf("refused: %+v", x.Call.Outcome())
		}
		x.cancelSlot()
	}
}

// nothingKept is a Kept without a response.
type nothingKept struct{ Kept }

func (nothingKept) KeptConn() bool { return false }

// noDialer dials nothing.
type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

// placing returns an exchange for a call of a connected client, of which nothing is read or written.
func placing(t *testing.T, pool policy.Pool) *Exchange {
	t.Helper()
	table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Observer: routes.Discard{}})
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Defaults()
	s.Pool = pool
	if r := table.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{"pod": {UID: "pod", Profile: "p"}},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{
			{Key: "k", To: policy.Target{Kind: policy.TargetAny}, Base: s},
		}}},
	}); len(r) > 0 {
		t.Fatalf("rejected: %v", r)
	}
	original := netip.MustParseAddrPort("192.0.2.1:80")
	of := table.PodRoutes("pod")
	c := of.Candidates(original)[0]
	r, err := of.Route(&c, nil, original)
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{Client: &Client{ID: 1, Conn: transporttest.Connected(t), Origin: route.Origin{Pod: "pod", Original: original, Table: table}}, Route: r, Pinned: c.Pinned, Plan: r.Plan(nil, nil)}
	x.Init()
	return x
}
