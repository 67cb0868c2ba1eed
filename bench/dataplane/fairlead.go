package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"

	"log/slog"
	"os"
)

// podOf names the pod that a connection comes from.
func podOf(c *net.TCPConn) string {
	if ip := c.RemoteAddr().(*net.TCPAddr).IP.To4(); ip != nil && ip[2] == 1 {
		return fmt.Sprint("bench-pod-", ip[3])
	}
	return "bench-pod"
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
	snapshot := benchPolicy(what == "match")
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
	return acceptCaptured(port, srv)
}

// acceptCaptured has the proxy serve what is redirected to the port.
func acceptCaptured(port string, srv *proxy.Server) error {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		tcp := c.(*net.TCPConn)
		original, err := originalDestination(tcp)
		if err != nil {
			c.Close() // the conductor's own look whether the port is open
			continue
		}
		go srv.ServeCaptured(podOf(tcp), tcp, original)
	}
}

// takeReports takes reports as often as an agent does.
func takeReports(m *telemetry.Meter) {
	for range time.Tick(5 * time.Second) {
		m.Report()
	}
}

// benchPolicy is a policy with every block in use, for the destination that is called or for another.
func benchPolicy(match bool) *policy.Snapshot {
	s := policy.Defaults()
	s.Timeouts.PerTry, s.Timeouts.Overall = 2*time.Second, 10*time.Second
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.ResetBeforeRequest, policy.Reset, policy.GatewayError, policy.PerTryTimeout)
	s.Retry.Backoff.Initial, s.Retry.Backoff.Max = time.Millisecond, time.Millisecond
	s.Pool.MaxConnections, s.Pool.MaxConnectionsPerEndpoint, s.Pool.MaxIdlePerEndpoint = 20000, 20000, 20000
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1000
	b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
	s.Breaker = &b
	to := policy.Target{Kind: policy.TargetService, Service: "bench/upstream", Ports: []uint16{frontPort}}
	if !match {
		to = policy.Target{Kind: policy.TargetHost, Host: "elsewhere.example", Ports: []uint16{frontPort}}
	}
	profile := &policy.Profile{Name: "bench", Bindings: []policy.Binding{{
		Key: "bench", Policy: policy.ID{Namespace: "bench", Name: "bench"}, To: to, Base: s,
	}}}
	ip := netip.MustParseAddr(upstreamIP)
	workloads := map[string]*policy.Workload{}
	for i := range 1 + benchPods {
		uid := "bench-pod"
		if i > 0 {
			uid = fmt.Sprint("bench-pod-", i)
		}
		workloads[uid] = &policy.Workload{UID: uid, Namespace: "bench", Name: uid, Profile: "bench"}
	}
	return &policy.Snapshot{
		Workloads: workloads,
		Profiles:  map[string]*policy.Profile{"bench": profile},
		Destinations: map[string]*policy.Destination{"bench/upstream": {
			Name: "bench/upstream", ClusterIPs: []netip.Addr{ip},
			Ports: []policy.DestinationPort{{Port: frontPort, Endpoints: policy.Ready(netip.AddrPortFrom(ip, backPort))}},
		}},
	}
}

// originalDestination reads where a redirected connection was going (SO_ORIGINAL_DST).
func originalDestination(c *net.TCPConn) (netip.AddrPort, error) {
	const soOriginalDst = 80
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var addr unix.RawSockaddrInet4
	size := uint32(unsafe.Sizeof(addr))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_IP, soOriginalDst,
			uintptr(unsafe.Pointer(&addr)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil {
		return netip.AddrPort{}, err
	}
	if errno != 0 {
		return netip.AddrPort{}, errno
	}
	port := addr.Port>>8 | addr.Port<<8
	return netip.AddrPortFrom(netip.AddrFrom4(addr.Addr), port), nil
}
