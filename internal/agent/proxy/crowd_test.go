package proxy

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// crowd is how many connections one pod opens; each takes two descriptors of the process.
func crowd() int {
	if raceEnabled {
		return 1000 // each takes several times as long
	}
	return 5000
}

// A pod that opens thousands of connections, sends a call on each and keeps them costs its neighbour not one call: what the neighbour sends comes to
// the server once, and is answered. The agent's memory grows by what idle connections take.
func TestRule25_OnePodsConnectionsCostItsNeighbourNoCall(t *testing.T) {
	var calls atomic.Int64 // of the neighbour, as the server sees them
	at := serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			if strings.HasPrefix(q.URL.Path, "/neighbour") {
				calls.Add(1)
			}
			p.ok("fine")
		}
	})
	w := build(t, at, toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }))
	w.installFor(toAny(func(s *policy.Settings) { s.Retry.MaxRetries = 0 }), pod, "neighbour")
	w.seen.discards.Store(true)
	w.dialer.files.Store(true)
	var greedy ends
	t.Cleanup(greedy.close)
	captured := netip.MustParseAddrPort(w.captured.Addr().String())
	in := make([]byte, 512)
	before, sent := inUse(), int64(0)
	neighbour := w.dialAs("neighbour")
	call := func(path string) {
		t.Helper()
		sent++
		if res, _ := neighbour.get(path); res.StatusCode != 200 {
			t.Fatalf("the neighbour got %d", res.StatusCode)
		}
	}
	for i := range crowd() {
		c := dialRaw(t, &greedy, captured)
		must(c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")))(t)
		must(c.Read(in))(t)
		switch i % 10 {
		case 0:
			call("/neighbour")
		case 5:
			neighbour = w.dialAs("neighbour")
			call("/neighbour/new")
		}
	}
	if n := w.server.Connections(); n < crowd() {
		t.Errorf("%d connections are open", n)
	}
	if most := before + uint64(crowd())*httpMemory + 16<<20; !raceEnabled && inUse() > most {
		t.Errorf("the process has %d bytes of memory, more than %d", inUse(), most)
	}
	if n := calls.Load(); n != sent {
		t.Errorf("%d calls of the neighbour came to the server, %d were made", n, sent)
	}
}
