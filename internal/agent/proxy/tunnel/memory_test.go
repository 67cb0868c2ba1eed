package tunnel

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// An idle tunnel costs the caller's goroutine and little else: no goroutine for the server, no pipe and no buffer. The sockets, of which package
// net keeps more than the agent's have, are not in the figure: TestIdleConnectionsAreSmall measures all of a connection.
func TestIdleTunnelsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be measured")
	}
	perTunnel := idleTunnels(t, 500)
	t.Logf("%d bytes per idle tunnel", perTunnel)
	if perTunnel > 8<<10 {
		t.Errorf("%d bytes per idle tunnel", perTunnel)
	}
}

// idleTunnels opens so many tunnels that have carried a few bytes and returns the memory that each of them needs besides its sockets.
func idleTunnels(t testing.TB, count int) (bytesEach uint64) {
	t.Helper()
	var wg sync.WaitGroup
	inner, outer, peers := make([]*net.TCPConn, count), make([]*net.TCPConn, count), make([]*net.TCPConn, 2*count)
	for i := range count {
		peers[2*i], inner[i] = pair(t)
		outer[i], peers[2*i+1] = pair(t)
	}
	p := poller(t)
	goroutines, before := runtime.NumGoroutine(), inUse()
	for i := range count {
		carried := New(on(inner[i]), on(outer[i]), Options{Idle: time.Hour, Poller: p})
		wg.Go(func() { _, _ = carried.Run() })
		for _, c := range peers[2*i : 2*i+2] {
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range peers[2*i : 2*i+2] {
			if _, err := c.Read(make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
	}
	awaitGoroutines(t, goroutines+count+10)
	after := inUse()
	for _, c := range peers {
		_ = c.Close()
	}
	wg.Wait()
	return (after - before) / uint64(count)
}

// awaitGoroutines waits until there are no more goroutines than that: a quiet server is left to the poller soon.
func awaitGoroutines(t testing.TB, most int) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.Now().Add(patience); runtime.NumGoroutine() > most; <-again.C {
		if time.Now().After(late) {
			t.Fatalf("%d goroutines are left", runtime.NumGoroutine())
		}
	}
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
