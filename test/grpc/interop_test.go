package grpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
)

// interopCases are those of google.golang.org/grpc/interop/client that need neither TLS nor somebody's account, nor servers that name themselves
// (pick_first_unary).
var interopCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
	"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
	"unimplemented_method", "unimplemented_service", "rpc_soak", "channel_soak", "orca_per_rpc", "orca_oob",
}

// orcaBalancer is the service config that the cases about the servers' load need.
const orcaBalancer = `{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`

// caseTakes bounds one case.
const caseTakes = 30 * time.Second

func TestInteroperability(t *testing.T) {
	server, client := startInteropServer(t), program(t, "google.golang.org/grpc/interop/client")
	var calls atomic.Int64
	at, stop, err := governed(server, settings(), func(e *routes.Exchange) {
		if e.GRPC {
			calls.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for way, addr := range map[string]netip.AddrPort{"direct": server, "governed": at} {
		for _, name := range interopCases {
			t.Run(way+"/"+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), caseTakes)
				defer cancel()
				args := []string{"--use_tls=false", "--server_host=" + addr.Addr().String(), "--server_port=" + strconv.Itoa(int(addr.Port())),
					"--test_case=" + name, "--soak_iterations=20"}
				if strings.HasPrefix(name, "orca_") {
					args = append(args, "--service_config_json="+orcaBalancer)
				}
				out, err := exec.CommandContext(ctx, client, args...).CombinedOutput()
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
	if n := calls.Load(); n < int64(len(interopCases)) {
		t.Errorf("%d calls were governed, of %d cases", n, len(interopCases))
	}
}

// startInteropServer starts gRPC's interoperability server on a free port.
func startInteropServer(t *testing.T) netip.AddrPort {
	t.Helper()
	path := program(t, "google.golang.org/grpc/interop/server")
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes no port 0
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--use_tls=false", fmt.Sprintf("--port=%d", at.Port()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	awaitListener(t, at)
	return at
}

// awaitListener waits until a server listens.
func awaitListener(t *testing.T, at netip.AddrPort) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(caseTakes); ; <-again.C {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not listen: %v", err)
		}
	}
}
