package tlslayer

import (
	"crypto/tls"
	"runtime"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// exchanger asks a server that echoes, and reads the answer.
func exchanger(t testing.TB, size int) func() {
	t.Helper()
	a := tlstest.New(t)
	c := mustConnect(t, trusting(t, a), listenTLS(t, serverConfig(a), echo))
	request, in := make([]byte, size), make([]byte, size)
	ask := func() error { _, err := c.TryWrite(request); return err }
	now, until := soon()
	return func() {
		if c.Peek() != transport.Quiet {
			t.Fatal("it is not quiet")
		}
		n, _, err := c.WriteThenRead(ask, in, transport.At(now), transport.At(until))
		for err == nil && n < size {
			var more int
			more, err = c.Read(in[n:], now, until)
			n += more
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An exchange allocates nothing here or in crypto/tls's client; what is counted is the whole program's, so a little is let pass.
func TestAnExchangeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	exchange := exchanger(t, 1000)
	exchange()
	if n := testing.AllocsPerRun(500, exchange); n >= 1 {
		t.Errorf("%v allocations per exchange", n)
	}
}

func BenchmarkExchange(b *testing.B) {
	exchange := exchanger(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		exchange()
	}
}

// BenchmarkIdle reports what an idle connection costs in memory, its server's side included in neither.
func BenchmarkIdle(b *testing.B) {
	a := tlstest.New(b)
	for name, size := range map[string]int{"small": 1000, "large": 100_000} {
		b.Run(name, func(b *testing.B) {
			const n = 200
			client := trusting(b, a)
			hold := make(chan struct{})
			defer close(hold)
			to := listenTLS(b, serverConfig(a), func(c *tls.Conn) {
				_, _ = c.Write(make([]byte, size))
				<-hold
			})
			var before, after runtime.MemStats
			conns := make([]*transport.Conn, 0, n)
			for range n {
				conns = append(conns, mustConnect(b, client, to))
			}
			runtime.GC()
			runtime.ReadMemStats(&before)
			for _, c := range conns {
				if _, err := readAll(b, c, size); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/n, "B/more")
			for _, c := range conns {
				_ = c.Close()
			}
			layers := make([]*Layer, 0, n)
			for _, c := range conns {
				layers = append(layers, layerOf(c))
			}
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range layers {
				layers[i].tls, conns[i] = nil, nil
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric((float64(before.HeapAlloc)-float64(after.HeapAlloc))/n, "B/conn")
		})
	}
}
