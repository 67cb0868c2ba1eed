package tunnel

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// An idle tunnel costs its two connections, one goroutine besides the caller's, and little else: no pipe and no buffer. The bound
// is generous; BenchmarkIdleTunnels tells the figure.
func TestIdleTunnelsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	if perTunnel := idleTunnels(t, 200); perTunnel > 16<<10 {
		t.Errorf("%d bytes per idle tunnel", perTunnel)
	}
}

// idleTunnels opens so many tunnels that have carried a few bytes and returns the memory that each of them needs, the peers'
// ends of the connections included.
func idleTunnels(t testing.TB, count int) (bytesEach uint64) {
	t.Helper()
	var wg sync.WaitGroup
	var peers []*net.TCPConn
	before := inUse()
	for range count {
		client, inner := pair(t)
		outer, server := pair(t)
		wg.Go(func() { _, _ = New(on(inner), on(outer), Options{Idle: time.Hour}).Run() })
		peers = append(peers, client, server)
		for _, c := range []*net.TCPConn{client, server} {
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*net.TCPConn{client, server} {
			if _, err := c.Read(make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := inUse()
	for _, c := range peers {
		_ = c.Close()
	}
	wg.Wait()
	return (after - before) / uint64(count)
}

// inUse returns the memory of heap and stacks after a collection, which also shrinks stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkIdleTunnels reports what an idle tunnel costs, at 2,000 of them by default: four descriptors each.
func BenchmarkIdleTunnels(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(idleTunnels(b, 2000)), "B/tunnel")
	}
}
