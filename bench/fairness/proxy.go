package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// dialer dials as any program does.
type dialer struct{}

// Dial implements upstream.Dialer.
func (dialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// serveProxy is the agent's data plane with a listener for each pod, in the order of the servers that they call, as capture has one. It writes where they
// are.
func serveProxy(servers []string) error {
	table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return dialer{} }})
	if err != nil {
		return err
	}
	s := policy.Defaults()
	s.Pool.MaxConnections, s.Pool.MaxConnectionsPerEndpoint, s.Pool.MaxIdlePerEndpoint = 20000, 20000, 20000
	snapshot := &policy.Snapshot{Workloads: map[string]*policy.Workload{}, Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
		Key: "any", Policy: policy.ID{Namespace: "bench", Name: "any"}, To: policy.Target{Kind: policy.TargetAny}, Base: s,
	}}}}}
	for _, pod := range servers {
		snapshot.Workloads[pod] = &policy.Workload{UID: pod, Namespace: "bench", Name: pod, Profile: "p"}
	}
	if rejected := table.Install(snapshot); len(rejected) > 0 {
		return fmt.Errorf("policy refused: %v", rejected)
	}
	srv, err := proxy.New(proxy.Options{Store: table})
	if err != nil {
		return err
	}
	go func() { _ = table.Run(context.Background()) }()
	ended := make(chan error)
	for _, pod := range servers {
		made, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Print(made.Addr(), " ")
		l, err := transport.NewListener(made.(*net.TCPListener))
		if err != nil {
			return err
		}
		go func() { ended <- accept(srv, l, pod) }()
	}
	fmt.Println()
	return <-ended
}

func accept(srv *proxy.Server, l *transport.Listener, pod string) error {
	server := netip.MustParseAddrPort(pod)
	turn, done := srv.Listening(pod)
	defer done()
	for {
		turn()
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go srv.ServeCaptured(pod, c, server)
	}
}
