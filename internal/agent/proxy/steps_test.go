package proxy

import (
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// What a pod does for one call, connection or message takes so many steps, after some of which it waits for the other pods: what takes none goes before
// them however much of it there is.
func TestWhatPodsDoTakesTurns(t *testing.T) {
	for name, tc := range map[string]struct {
		steps float64
		begin func(t *testing.T) (w *testProxy, once func() error)
	}{
		"calls over HTTP/1.1: the request and the answer":               {2, beginCalls},
		"calls over HTTP/2: two reads of the request and the answer":    {3.5, beginStreams},
		"connections: that they come, a call, and their end":            {2, beginConnections},
		"tunnels: messages of both sides, most of which are waited for": {1.5, beginMessages},
		"connections that are accepted, whatever becomes of them":       {1, beginAccepting},
		"calls over connections of their own, which are made first":     {3, beginFresh},
	} {
		t.Run(name, func(t *testing.T) {
			w, once := tc.begin(t)
			w.seen.discards.Store(true)
			_, done := w.server.Listening("other")
			defer done()
			const times = 300
			before := w.server.turns.Rounds()
			for range times {
				if err := once(); err != nil {
					t.Fatal(err)
				}
			}
			rounds := int(w.server.turns.Rounds() - before)
			most := (rounds + 1) * int(w.server.turns.Quantum()) // steps that were taken
			if want := int(tc.steps * times); most < want {
				t.Errorf("%d rounds: no more than %d steps were taken, want %d", rounds, most, want)
			}
		})
	}
}

func beginCalls(t *testing.T) (w *testProxy, once func() error) {
	w = build(t, serve(t, echo), toAny(nil))
	c := w.dial()
	return w, func() error { c.get("/"); return nil }
}

func beginStreams(t *testing.T) (w *testProxy, once func() error) {
	w = build(t, rawServerH2(t), toAnyH2(nil))
	k := newRawClientH2(t, w.dial(), "")
	return w, func() error { return k.exchange(1) }
}

func beginConnections(t *testing.T) (w *testProxy, once func() error) {
	w = build(t, serve(t, echo), toAny(nil))
	return w, func() error {
		c := w.dial()
		c.get("/")
		return c.Close()
	}
}

func beginFresh(t *testing.T) (w *testProxy, once func() error) {
	w = build(t, serve(t, echo), toAny(func(s *policy.Settings) { s.Pool.MaxRequestsPerConnection = 1 }))
	c := w.dial()
	return w, func() error { c.get("/"); return nil }
}

func beginMessages(t *testing.T) (w *testProxy, once func() error) {
	w, client, server := becomeTunnel(t, nil, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n")
	return w, func() error {
		for _, way := range [][2]tunnelEnd{{client, server}, {server, client}} {
			if err := way[0].say(word); err != nil {
				return err
			}
			if err := way[1].hear(1); err != nil {
				return err
			}
		}
		return nil
	}
}

func beginAccepting(t *testing.T) (w *testProxy, once func() error) {
	w = build(t, serve(t, echo), toAny(nil))
	turn, done := w.server.Listening(pod)
	t.Cleanup(done)
	return w, func() error { turn(); return nil }
}
