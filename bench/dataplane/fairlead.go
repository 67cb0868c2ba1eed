package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/conntrack"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

const upstreamService = "bench/upstream"

// podName names a pod; 0 is the one that calls where only one does.
func podName(i int) string {
	if i == 0 {
		return "bench-pod"
	}
	return fmt.Sprint("bench-pod-", i)
}

// serveFairlead is the agent's data plane with everything on: sniffing, routing, timeouts, retries, budget, breaker, pool, metrics
// and reports. Only capture is the benchmark's own, the same redirect as for every other candidate, and the agent's zone.
func serveFairlead(port, what string) error {
	accessLog, err := telemetry.NewAccessLog(telemetry.AccessLogOptions{Writer: os.Stdout})
	if err != nil {
		return err
	}
	meter := telemetry.New(telemetry.Options{Logger: slog.Default(), AccessLog: accessLog})
	st, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return markedDialer{} }, Observer: meter})
	if err != nil {
		return err
	}
	snapshot, err := policyFor(what)
	if err != nil {
		return err
	}
	if rejected := st.Install(snapshot); len(rejected) > 0 {
		return fmt.Errorf("policy refused: %v", rejected)
	}
	meter.Installed(time.Now(), snapshot)
	srv, err := proxy.New(proxy.Options{Store: st, Events: meter})
	if err != nil {
		return err
	}
	meter.Watch(telemetry.Sources{Stats: st.Stats, Replay: srv.ReplayMemory()})
	go func() { _ = st.Run(context.Background()) }()
	go func() { _ = accessLog.Run(context.Background()) }()
	go takeReports(meter)
	serveMallocs(port)
	pod := onePod
	if what == "pods" {
		pod = byAddress()
	}
	return acceptAll(srv, netip.MustParseAddrPort("127.0.0.1:"+port), pod)
}

// acceptAll accepts as the agent does, which has a listener for each pod. Here one is for all, and a pod is known by its address, which is
// looked at only where several call.
func acceptAll(srv *proxy.Server, at netip.AddrPort, pod func(*os.File) string) error {
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	made, err := config.Listen(context.Background(), "tcp4", at.String())
	if err != nil {
		return err
	}
	l, err := transport.NewListener(made.(*net.TCPListener))
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		original, err := conntrack.OriginalDestination(c, at)
		if err != nil || original == at {
			_ = c.Close() // the conductor's own look whether the port is open
			continue
		}
		go srv.ServeCaptured(pod(c), c, original)
	}
}

// onePod is the pod that calls where only one does.
func onePod(*os.File) string { return podName(0) }

// byAddress tells pods by the addresses that they call from.
func byAddress() func(*os.File) string {
	pods := make(map[netip.Addr]string)
	for i := range benchPods {
		pods[netip.MustParseAddr(podAddr(i).String())] = podName(1 + i)
	}
	return func(c *os.File) string { return pods[transport.PeerAddr(c).Addr()] }
}

// takeReports takes reports as often as an agent does.
func takeReports(m *telemetry.Meter) {
	for range time.Tick(5 * time.Second) {
		m.Report()
	}
}

// policyFor returns the policy that a process of fairlead is started with.
func policyFor(what string) (*policy.Snapshot, error) {
	if name, found := strings.CutPrefix(what, blockArgument); found {
		return blockPolicy(name)
	}
	return benchPolicy(what != "nomatch")
}

// benchPolicy is a policy with every block in use, for the destination that is called or for another.
func benchPolicy(match bool) (*policy.Snapshot, error) {
	s := policy.Defaults()
	s.Timeouts.PerTry, s.Timeouts.Overall = 2*time.Second, 10*time.Second
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.ResetBeforeRequest, policy.Reset, policy.GatewayError, policy.PerTryTimeout)
	s.Retry.Backoff.Initial, s.Retry.Backoff.Max = time.Millisecond, time.Millisecond
	s.Pool.MaxConnections, s.Pool.MaxConnectionsPerEndpoint, s.Pool.MaxIdlePerEndpoint = 20000, 20000, 20000
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1000
	b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
	s.Breaker = &b
	profile := &policy.Profile{Name: "bench"}
	for i, to := range targets(match) {
		key := fmt.Sprint("bench-", i)
		profile.Bindings = append(profile.Bindings, policy.Binding{Key: key, Policy: policy.ID{Namespace: "bench", Name: key}, To: to, Base: s})
	}
	return snapshotOf(profile)
}

// snapshotOf is what an agent has that knows the profile, for every pod.
func snapshotOf(profile *policy.Profile) (*policy.Snapshot, error) {
	trusted, err := roots()
	if err != nil {
		return nil, err
	}
	workloads := map[string]*policy.Workload{}
	for i := range 1 + benchPods {
		uid := podName(i)
		workloads[uid] = &policy.Workload{UID: uid, Namespace: "bench", Name: uid, Profile: "bench"}
	}
	return &policy.Snapshot{
		Workloads: workloads,
		Profiles:  map[string]*policy.Profile{"bench": profile},
		Destinations: map[string]*policy.Destination{upstreamService: {
			Name: upstreamService, ClusterIPs: []netip.Addr{netip.MustParseAddr(upstreamIP)},
			Ports: []policy.DestinationPort{
				{Port: plainFront.port, Endpoints: policy.Ready(plainFront.server())},
				{Port: bulkFront.port, Endpoints: policy.Ready(bulkFront.server())},
				{Port: opaqueFront.port, Endpoints: policy.Ready(opaqueFront.server())},
			},
		}},
		Roots: map[string]*policy.Roots{"bench": {Name: "bench", Certificates: trusted}},
	}, nil
}

// targets are the destinations that are called, or another.
func targets(match bool) []policy.Target {
	if !match {
		return []policy.Target{{Kind: policy.TargetHost, Host: "elsewhere.example", Ports: []uint16{plainFront.port}}}
	}
	return []policy.Target{
		{Kind: policy.TargetService, Service: upstreamService, Ports: []uint16{plainFront.port, bulkFront.port}},
		{Kind: policy.TargetService, Service: upstreamService, Ports: []uint16{opaqueFront.port}, Protocol: policy.ProtocolTCP},
		{
			Kind: policy.TargetHost, Host: serverName, Ports: []uint16{tlsFront.port},
			TLS: policy.TLS{Mode: policy.TLSOriginate, Roots: "bench", Port: tlsFront.back},
		},
	}
}
