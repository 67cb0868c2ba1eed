package grpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

const pod = "pod-1"

// settings is a policy that acts on everything it can without changing how a call that goes well ends.
func settings() policy.Settings {
	s := policy.Defaults()
	s.Timeouts.PerTry, s.Timeouts.Overall = time.Minute, time.Minute
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.RefusedStream, policy.ResetBeforeRequest)
	s.Retry.GRPCStatuses = []policy.GRPCStatus{16} // none that the suites end calls with, but heads are kept back for it
	s.Retry.Idempotency = policy.AnyMethod
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1_000_000
	s.Breaker = &b
	return s
}

// calls is notified of the calls that were governed.
type calls struct {
	routes.Discard
	done func(e *routes.Exchange)
}

// Recorder implements routes.Observer.
func (c calls) Recorder(policy.ID, string) routes.Recorder { return c }

// CallDone implements routes.Recorder.
func (c calls) CallDone(e *routes.Exchange) { c.done(e) }

// governed serves connections to a server as if pods had made them, under settings, and reports what is governed to done. The proxy ends with
// stop.
func governed(server netip.AddrPort, s policy.Settings, done func(*routes.Exchange)) (at netip.AddrPort, stop func(), err error) {
	store, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return dialer{} }, Observer: calls{done: done}})
	if err != nil {
		return at, nil, err
	}
	b := policy.Binding{Key: "k", Policy: policy.ID{Namespace: "ns", Name: "p"}, To: policy.Target{Kind: policy.TargetAny}, Base: s}
	if r := store.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod: {UID: pod, Namespace: "ns", Name: "pod", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{b}}},
	}); len(r) > 0 {
		return at, nil, fmt.Errorf("rejected: %v", r)
	}
	p, err := proxy.New(proxy.Options{Store: store, Events: events{}})
	if err != nil {
		return at, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return at, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = store.Run(ctx) })
	wg.Go(func() { accept(&wg, p, l, server) })
	return netip.MustParseAddrPort(l.Addr().String()), func() {
		l.Close()
		over, done := context.WithCancel(context.Background())
		done()
		_ = p.Shutdown(over)
		cancel()
		wg.Wait()
	}, nil
}

func accept(wg *sync.WaitGroup, p *proxy.Server, l net.Listener, server netip.AddrPort) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { p.ServeCaptured(pod, c.(*net.TCPConn), server) })
	}
}

// dialer dials without a namespace.
type dialer struct{}

func (dialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// events lets a panic end the program that the proxy is in.
type events struct{}

func (events) Opened()                                   {}
func (events) Closed()                                   {}
func (events) Passed(proxy.Passed)                       {}
func (events) Malformed(drive.Refused)                   {}
func (events) Panicked(_ string, what any, stack []byte) { panic(fmt.Sprintf("%v\n%s", what, stack)) }
