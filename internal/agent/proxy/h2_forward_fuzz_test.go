package proxy

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// The tests of this file send random exchanges of HTTP/2, all of them valid, through a proxy, over sockets, and compare both ends: fields
// with their order, their duplicates and whether they may be indexed, bodies, trailers, interim responses, and how streams end. What differs
// from one to the next: how header blocks and bodies are cut into frames, padding, windows, tables, how streams and other frames come in
// between, streams that are refused or reset by either side at any moment, and connections that their server ends.

func TestRule31_ForwardingOverHTTP2ChangesNothing(t *testing.T) {
	seeds := 60
	if testing.Short() || raceEnabled {
		seeds = 25
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { forwardsHTTP2(t, seed) })
		if t.Failed() {
			return
		}
	}
}

// FuzzForwardingHTTP2 explores what the property test samples.
func FuzzForwardingHTTP2(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	f.Fuzz(forwardsHTTP2)
}

// forwardsHTTP2 has clients of a pod make the exchanges that a seed brings forth, all at the same time.
func forwardsHTTP2(t *testing.T, seed uint64) {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 31))}
	f := &forwardingH2{t: t, talks: map[string]*talk{}, came: map[string]int{}, last: map[*http2test.Conn]*taken{}}
	settings, window, _ := m.settings()
	if f.window = window; m.IntN(3) == 0 {
		settings = append(settings, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1 + m.Uint32N(4)})
	}
	clients := make([]*talkingClient, 1+m.IntN(3))
	for i := range clients {
		c := &talkingClient{forwardingH2: f}
		c.settings, c.window, c.table = m.settings()
		m.small = m.small || c.window < 1000 || f.window < 1000
		clients[i] = c
	}
	if m.IntN(3) == 0 {
		f.leaveAfter = 1 + m.IntN(6)
	}
	for range 3 + m.IntN(20) {
		k := m.talk()
		f.talks[k.id] = k
		c := clients[m.IntN(len(clients))]
		c.talks = append(c.talks, k)
	}
	srv := http2test.NewServer(t, http2test.Script{Options: http2test.Options{Settings: settings}, Stream: f.serve})
	w := buildH2(t, srv.Addr())
	w.shopOf(policy.ProtocolHTTP2, func(s *policy.Settings) {
		s.Retry.On, s.Retry.MaxRetries, s.Retry.BodyMaxBytes = policy.Of(policy.RefusedStream, policy.ResetBeforeRequest), 100, 1<<20
	}, srv.Addr())
	f.world = w
	var all sync.WaitGroup
	for _, c := range clients {
		c.noise = rand.New(rand.NewPCG(m.Uint64(), 1))
		c.run(&all)
	}
	all.Wait()
	f.checkLeft()
}

// checkLeft checks that nothing is left of what was forwarded.
func (f *forwardingH2) checkLeft() {
	f.world.waitFor(f.t, func() bool {
		f.world.seen.mu.Lock()
		defer f.world.seen.mu.Unlock()
		return len(f.world.seen.calls) == len(f.talks)
	})
	if n := f.world.server.ReplayMemory().Used(); n != 0 {
		f.t.Errorf("%d bytes of bodies are kept", n)
	}
	poll(f.t, func() bool { return f.world.server.h2.Buffered() < 128<<10 }) // connections keep what a frame needs
	if n := f.world.events.malformed.Load(); n != 0 {
		f.t.Errorf("%d of the requests are called malformed: %+v", n, f.world.events.refused.Load())
	}
	f.mu.Lock() // the server may still hear of what clients have left
	defer f.mu.Unlock()
	for id, k := range f.talks {
		if f.came[id] == 0 && k.leaves < 0 {
			f.t.Errorf("%s never came to the server", id)
		}
	}
}
