package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// busyWorld is a world with calls in every kind of wait, each with a client of its own: for the head, between attempts, for the server
// to be reached, for the client; and with what is open besides calls.
func busyWorld(t *testing.T) (w *testProxy, clients []*client) {
	t.Helper()
	tcp := toAny(nil)
	tcp.Key, tcp.To.Protocol = "tcp", policy.ProtocolTCP
	var waited atomic.Int64 // for the head, and between attempts
	up := serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				_, _ = io.Copy(io.Discard, p)
				return
			}
			if q.URL.Path != "/tunnel" {
				waited.Add(1)
			}
			switch q.URL.Path {
			case "/again":
				p.send("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
			case "/tunnel":
				p.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			case "/":
				p.ok("")
			}
		}
	})
	w = build(t, up, toAny(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError)
		s.Retry.RetryAfter.Max = 2 * time.Hour
	}))
	for _, say := range []string{
		"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /again HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhi",
		"GET / HTT",
	} {
		c := w.dial()
		c.send(say)
		clients = append(clients, c)
	}
	c := w.dial()
	c.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
	c.response("GET")
	clients = append(clients, c)
	poll(t, func() bool { return waited.Load() == 2 && w.server.Open() == Open{Busy: 4, Tunnels: 1} })
	w.install(tcp)
	c = w.dial()
	c.send("HELO\r\n")
	clients = append(clients, c)
	poll(t, func() bool { return w.server.Open() == Open{Busy: 4, Tunnels: 1, Passed: 1} })
	return w, clients
}

// A forced stop waits for the slowest session, not for one after the other.
func TestRule26_AForcedStopEndsAllAtOnce(t *testing.T) {
	w, clients := busyWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for i, c := range clients {
		if _, err := io.ReadAll(c.r); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client %d got %v, want a reset", i, err)
		}
	}
}

// All sessions are interrupted before one is waited for: here each ends only when all have been.
func TestConnectionsAreInterruptedBeforeOneIsWaitedFor(t *testing.T) {
	const n = 12
	arrived := make(chan struct{}, n)
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); ok {
			arrived <- struct{}{}
			_, _ = p.r.ReadByte()
		}
	}), toAny(nil))
	for range n {
		w.dial().send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	for range n {
		<-arrived
	}
	var inside, held sync.WaitGroup
	w.server.mu.Lock()
	all := slices.Collect(maps.Keys(w.server.connections))
	w.server.mu.Unlock()
	for _, s := range all {
		inside.Add(1)
		held.Go(func() {
			_ = s.client.Conn.Pin(func() {
				inside.Done()
				for _, other := range all {
					poll(t, other.client.Conn.Interrupted)
				}
			})
		})
	}
	inside.Wait()
	w.server.abort()
	held.Wait()
}

// A drain leaves alone what nobody can tell the end of.
func TestADrainLeavesTunnelsAlone(t *testing.T) {
	w, _ := busyWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	var drain sync.WaitGroup
	drain.Go(func() { w.server.Drain(ctx) })
	poll(t, w.server.draining.Load)
	w.server.closeIdle(time.Now().Add(time.Hour))
	cancel()
	drain.Wait()
	if got := w.server.Open(); got.Tunnels != 1 || got.Passed != 1 {
		t.Errorf("open: %+v", got)
	}
}
