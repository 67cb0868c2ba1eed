package h2

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/proxy/turns"
	"fairlead.dev/fairlead/internal/agent/resilience"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// parkingGate parks a call once, and refuses it when it asks again.
type parkingGate struct {
	wakes bool // at once
	until time.Time

	asked  int                     // guarded by the session's lock
	parked chan *resilience.Waiter // who has been parked
	left   chan resilience.Result
}

func (g *parkingGate) Enter(_ time.Time, w *resilience.Waiter) resilience.Entry {
	if g.asked++; g.asked > 1 {
		return resilience.Entry{Verdict: resilience.Refuse}
	}
	if g.wakes {
		w.Wake()
		w.Wake() // once too often
	}
	g.parked <- w
	return resilience.Entry{Verdict: resilience.Park, Until: g.until}
}

func (g *parkingGate) Leave(_ time.Time, _ *resilience.Waiter, r resilience.Result) { g.left <- r }

// noDialer dials nothing.
type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

// anyRequest is a request that the policy of a gated client governs.
type anyRequest struct{}

func (anyRequest) Method() []byte               { return []byte("GET") }
func (anyRequest) Host() []byte                 { return []byte("up.example") }
func (anyRequest) Target() []byte               { return []byte("/") }
func (anyRequest) Header(string) ([]byte, bool) { return nil, false }

func (anyRequest) AnyHeader(string, interface{ Fits(text []byte) bool }) bool { return false }

// gated is a client whose calls come to a gate.
func gated(t *testing.T, gate call.Gate) *http2test.Conn {
	t.Helper()
	table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Observer: routes.Discard{}})
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{"pod": {UID: "pod", Profile: "p"}},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{
			{Key: "k", To: policy.Target{Kind: policy.TargetAny}, Base: policy.Defaults()},
		}}},
	}); len(r) > 0 {
		t.Fatalf("rejected: %v", r)
	}
	var selector route.Selector
	origin := route.Origin{Table: table, Pod: "pod", Original: netip.MustParseAddrPort("192.0.2.1:80")}
	selector.Init(&origin)
	selector.SpeakHTTP2()
	r, ok := selector.Select(anyRequest{})
	if !ok {
		t.Fatal("no policy governs the client")
	}
	route.PlanFor(r, anyRequest{}).Gates = []call.Gate{gate} // no policy has gates yet

	near, far := transporttest.Pair(t)
	d := New(Options{
		Draining:  func() bool { return false },
		Malformed: func(r drive.Refused) { t.Errorf("refused: %+v", r) },
		Panicked:  func(_ string, what any, stack []byte) { t.Errorf("panic: %v\n%s", what, stack) },
	})
	client := &drive.Client{ID: 1, Origin: origin, Conn: near, Share: drive.NewPodShare(drive.Shared{Replay: resilience.NewMemory(1 << 20), Heads: resilience.NewMemory(1 << 20), Turns: &turns.Turns{}}, nil)}
	var served sync.WaitGroup
	t.Cleanup(served.Wait) // once the client has ended
	served.Go(func() {
		d.New(client, &selector).Serve()
		_ = near.Close()
	})
	return http2test.Speak(t, far, http2test.Options{})
}

func TestAStreamIsParkedAtAGate(t *testing.T) {
	for name, tc := range map[string]struct {
		gate parkingGate
		wake bool // from here
	}{
		"until it is woken":             {wake: true},
		"until it is woken, even early": {gate: parkingGate{wakes: true}},
		"until its time is up":          {gate: parkingGate{until: time.Now()}},
	} {
		t.Run(name, func(t *testing.T) {
			gate := tc.gate
			gate.parked, gate.left = make(chan *resilience.Waiter, 1), make(chan resilience.Result, 1)
			s, err := gated(t, &gate).Get("up.example", "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if w := <-gate.parked; tc.wake {
				w.Wake()
			}
			head, err := s.Head()
			if err != nil || head.Get(":status") != "429" || head.Get("fairlead-reason") != call.RateLimited.Reason() {
				t.Errorf("answered %v, %v; want what the gate refuses", head, err)
			}
		})
	}
	t.Run("until its client leaves", func(t *testing.T) {
		gate := &parkingGate{parked: make(chan *resilience.Waiter, 1), left: make(chan resilience.Result, 1)}
		client := gated(t, gate)
		s, err := client.Get("up.example", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		<-gate.parked
		if err := s.Reset(http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
		<-gate.left
		if err := client.Ping(); err != nil {
			t.Errorf("the connection has not outlived its stream: %v", err)
		}
	})
}
