package proxy

import (
	"context"
	"errors"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// tunnelIdle is a timeouts.idle that is long enough for a busy machine to carry a word in three quarters of it.
const tunnelIdle = 2 * time.Second

// speech is one side of a tunnel that speaks, and the other that listens.
type speech struct {
	name     string
	from, to tunnelEnd
}

// speeches open two tunnels of each kind, of which the client speaks in one and the server in the other. They are carried on side by side, since they take
// their time.
func speeches(t *testing.T, change func(*policy.Settings)) (all []speech) {
	t.Helper()
	for kind, open := range tunnels {
		_, client, server := open(t, change)
		all = append(all, speech{kind + ", the client", client, server})
		_, client, server = open(t, change)
		all = append(all, speech{kind + ", the server", server, client})
	}
	return all
}

func (s *speech) carry(t *testing.T, from, to tunnelEnd) {
	t.Helper()
	if err := errors.Join(from.say(word), to.hear(1)); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
}

// Whichever side speaks, and be it only to say that it is there, a tunnel is not idle, though the other says nothing all the while. What bounds the
// parts of requests and responses bounds nothing here.
func TestRule01_OneSideThatSpeaksKeepsATunnel(t *testing.T) {
	t.Parallel() // it waits
	all := speeches(t, func(s *policy.Settings) {
		s.Timeouts.Idle, s.Timeouts.Read, s.Timeouts.Write = tunnelIdle, tunnelIdle/2, tunnelIdle/2
	})
	tick := time.NewTicker(tunnelIdle / 4)
	defer tick.Stop()
	for range 6 { // one and a half times as long as a tunnel may be idle
		<-tick.C
		for _, s := range all {
			s.carry(t, s.from, s.to)
		}
	}
	for _, s := range all {
		s.carry(t, s.to, s.from) // the one that was silent has nothing to fear
	}
}

// A tunnel in which neither side speaks ends after timeouts.idle, no sooner, with a reset of both sides.
func TestRule01_ATunnelInWhichNobodySpeaksIsCut(t *testing.T) {
	for kind, open := range tunnels {
		t.Run(kind, func(t *testing.T) {
			const idle = tunnelIdle / 20
			_, client, server := open(t, func(s *policy.Settings) { s.Timeouts.Idle = idle })
			check(t, client.say(word))
			check(t, server.hear(1))
			spoke := time.Now()
			check(t, server.say(word))
			check(t, client.hear(1))
			check(t, client.cut())
			if after := time.Since(spoke); after < idle-10*time.Millisecond { // the kernel counts in ticks, which are no longer than that
				t.Errorf("cut after %v of silence", after)
			}
			check(t, server.cut())
		})
	}
}

// Without timeouts.idle nobody cuts a tunnel, whatever else is bounded.
func TestRule00_ATunnelMayBeSilent(t *testing.T) {
	t.Parallel() // it waits
	const limit = tunnelIdle / 4
	all := speeches(t, func(s *policy.Settings) {
		l := &s.Timeouts
		l.PerTry, l.ResponseHeader, l.Read, l.Write, l.Overall = tunnelIdle, tunnelIdle, limit, limit, tunnelIdle
	})
	pause := time.NewTimer(tunnelIdle + limit)
	<-pause.C
	for _, s := range all {
		s.carry(t, s.from, s.to)
		s.carry(t, s.to, s.from)
	}
}

// How long a tunnel has lasted is known when it has ended, of each kind, and each is one.
func TestTunnelsAreCountedWithTheTimeThatTheyLasted(t *testing.T) {
	for kind, open := range tunnels {
		t.Run(kind, func(t *testing.T) {
			began := time.Now()
			w, client, server := open(t, nil)
			check(t, client.say(word))
			check(t, server.hear(1))
			carries := time.Now() // it began before something came through it
			check(t, server.say(word))
			check(t, client.hear(1))
			if n := w.seen.tunnels.Load(); n != 0 {
				t.Fatalf("%d have ended", n)
			}
			atLeast := time.Since(carries)
			check(t, client.leave())
			check(t, server.leave())
			w.waitFor(t, func() bool { return w.seen.tunnels.Load() == 1 })
			if lasted := time.Duration(w.seen.lasted.Load()); lasted < atLeast || lasted > time.Since(began) {
				t.Errorf("lasted %v, at least %v is right", lasted, atLeast)
			}
		})
	}
}

// One that nothing was said on is none.
func TestUnusedConnectionsAreNoTunnels(t *testing.T) {
	b := toAny(nil)
	b.To.Protocol = policy.ProtocolAuto
	w := build(t, serve(t, func(_ int, p *peer) { _, _ = p.r.ReadByte() }), b)
	c := w.dial()
	_ = c.CloseWrite()
	c.expectEnd()
	poll(t, func() bool { return w.server.Connections() == 0 })
	if n := w.seen.tunnels.Load(); n != 0 {
		t.Errorf("%d tunnels", n)
	}
}

// A stop lets tunnels go on, both ways, until its time is up, and then cuts them on both sides.
func TestTunnelsGoOnUntilTheDrainIsOver(t *testing.T) {
	for kind, open := range tunnels {
		t.Run(kind, func(t *testing.T) {
			w, client, server := open(t, nil)
			check(t, client.say(word))
			check(t, server.hear(1))
			ctx, over := context.WithCancel(t.Context())
			stopped := make(chan error, 1)
			go func() { stopped <- w.server.Shutdown(ctx) }()
			poll(t, w.server.draining.Load)
			w.server.closeIdle(time.Now().Add(time.Hour))
			for _, way := range [][2]tunnelEnd{{client, server}, {server, client}} {
				check(t, way[0].say(word))
				check(t, way[1].hear(1))
			}
			over()
			if err := <-stopped; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			for name, end := range map[string]tunnelEnd{"client": client, "server": server} {
				if err := end.hear(1); err == nil {
					t.Errorf("the %s has heard something", name)
				}
			}
		})
	}
}
