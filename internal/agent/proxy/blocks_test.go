package proxy

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/bench/blocks"
	"fairlead.dev/fairlead/internal/policy"
)

// blockWorld is a quiet world in which calls go to a Service of two endpoints, under a policy with a block.
func blockWorld(t testing.TB, block blocks.Block, response string) *testProxy {
	w := quietWorld(t, response)
	w.services = map[string]*policy.Destination{"ns/up": {
		Name: "ns/up", ClusterIPs: []netip.Addr{w.original.Addr()},
		Ports: []policy.DestinationPort{{Port: w.original.Port(), Endpoints: policy.Ready(w.original, serve(t, rawUpstream(response)))}},
	}}
	w.install(block.Binding(policy.Target{Kind: policy.TargetService, Service: "ns/up", Protocol: policy.ProtocolHTTP}))
	return w
}

// No block of a policy has a call allocate anything, neither by itself nor with all others.
func TestNoBlockAllocates(t *testing.T) {
	response := answer(200, strings.Repeat("x", 1024))
	for _, block := range blocks.All() {
		for name, request := range map[string]string{
			"GET":  request1K,
			"POST": "POST / HTTP/1.1\r\nHost: up.example\r\nUser-Agent: x\r\nContent-Length: 6\r\n\r\nhello\n",
		} {
			t.Run(block.Name+"/"+name, func(t *testing.T) {
				c := blockWorld(t, block, response).dial()
				request, in := []byte(request), make([]byte, len(response))
				once := func() {
					if err := exchangeRaw(c, request, in); err != nil {
						t.Fatal(err)
					}
				}
				for range 100 {
					once()
				}
				if n := testing.AllocsPerRun(1000, once); n != 0 && !raceEnabled {
					t.Errorf("%v allocations per call, want none", n)
				}
			})
		}
	}
}

// BenchmarkBlocks measures calls under a policy with each block by itself, and with all of them: 1 KiB back, on one kept-alive connection; the client's
// and the upstream's side are in it. cpu-ns/op is processor time, with that of the kernel, which a busy machine distorts less. bench/dataplane measures the same
// policies in a process of their own under load.
func BenchmarkBlocks(b *testing.B) {
	response := answer(200, strings.Repeat("x", 1024))
	for _, block := range blocks.All() {
		b.Run(block.Name, func(b *testing.B) {
			c := blockWorld(b, block, response).dial()
			request, in := []byte(request1K), make([]byte, len(response))
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				if err := exchangeRaw(c, request, in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what the process has used.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
