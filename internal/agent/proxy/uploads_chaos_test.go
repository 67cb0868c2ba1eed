package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// Whatever clients and upstreams do to uploads, and whenever they do it: nobody gets another one's answer or a body that is not
// whole for one that is, and nothing is kept of it in the end, be it a place in the pool, replay memory, a permit or a goroutine.
func TestNothingIsLeftOfUploadsThatEndAnyhow(t *testing.T) {
	const clients, calls = 8, 25
	w := build(t, serve(t, erratic), toAny(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.GatewayError, policy.Reset, policy.ConnectFailure, policy.PerTryTimeout)
		s.Retry.MaxRetries, s.Retry.BodyMaxBytes = 3, 256<<10
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = 6, 100, patience
		s.Timeouts.PerTry, s.Timeouts.Idle = 50*time.Millisecond, time.Second
		b := policy.DefaultBreaker()
		b.ConsecutiveFailures, b.Probes, b.OpenDuration, b.OpenMaxDuration = 3, 1, time.Nanosecond, time.Nanosecond
		s.Breaker = &b
	}))
	w.seen.discards.Store(true)
	var all sync.WaitGroup
	var answered atomic.Int64
	for id := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 5))
			for i := range calls {
				if err := w.erraticCall(rng, fmt.Sprintf("/%d/%d", id, i), &answered); err != nil {
					t.Errorf("client %d, call %d: %v", id, i, err)
				}
			}
		})
	}
	all.Wait()
	if answered.Load() == 0 {
		t.Error("no call was answered")
	}
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	poll(t, func() bool {
		var sum upstream.Stats
		w.store.Stats(time.Now(), func(s routes.Stats) { sum.Active += s.Pool.Active; sum.Waiting += s.Pool.Waiting })
		return sum == upstream.Stats{}
	})
	if n := w.server.ReplayMemory().Used(); n != 0 {
		t.Errorf("%d bytes of replay memory are still held", n)
	}
	poll(t, func() bool { // a breaker whose only probe is held would reject for ever
		res, body := w.dial().get("/still")
		return res.StatusCode == 200 && strings.HasPrefix(body, "GET /still")
	})
}

// erratic answers early, late, in part or not at all.
func erratic(n int, p *peer) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	for {
		q, err := http.ReadRequest(p.r)
		if err != nil {
			return
		}
		what := rng.IntN(10)
		if q.URL.Path == "/still" {
			what = 9
		}
		switch what {
		case 0:
			_ = p.SetLinger(0)
			return
		case 1: // an early answer, and the end
			p.ok(q.URL.Path)
			return
		case 2: // an early answer, and the end in stages
			p.ok(q.URL.Path)
			_ = p.CloseWrite()
			_, _ = io.Copy(io.Discard, p.r)
			return
		case 3: // an early answer, and the rest is read
			p.ok(q.URL.Path)
			_, _ = io.Copy(io.Discard, q.Body)
			continue
		case 4:
			p.send("HTTP/1.1 103 Early Hints\r\n\r\n")
		case 5:
			_, _ = io.Copy(io.Discard, q.Body)
			p.send(answer(503, "busy"))
			continue
		case 6: // half an answer
			_, _ = io.Copy(io.Discard, q.Body)
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			return
		case 7: // too late
			_, _ = io.Copy(io.Discard, q.Body)
			_, _ = p.r.ReadByte()
			return
		}
		size, err := io.Copy(io.Discard, q.Body)
		if err != nil {
			return
		}
		p.ok(fmt.Sprintf("%s %s %d", q.Method, q.URL.Path, size))
	}
}

// erraticCall makes a call on a connection of its own, in part or to its end. It returns what must not be.
func (w *testProxy) erraticCall(rng *rand.Rand, path string, answered *atomic.Int64) error {
	conn := w.dial()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	size := rng.IntN(3) * rng.IntN(600<<10)
	body := strings.Repeat("x", size)
	stop := len(body)
	if rng.IntN(4) == 0 {
		stop = rng.IntN(stop + 1)
	}
	head := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, size)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(conn, head)
		for sent := 0; sent < stop; {
			n := min(1+rng.IntN(100<<10), stop-sent)
			if _, err := io.WriteString(conn, body[sent:sent+n]); err != nil {
				return
			}
			sent += n
		}
		switch {
		case stop == size:
		case size%2 == 0:
			_ = conn.CloseWrite()
		default:
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}
	}()
	defer func() { <-done }()
	res, err := http.ReadResponse(conn.r, nil)
	for err == nil && res.StatusCode < 200 {
		res, err = http.ReadResponse(conn.r, nil)
	}
	if err != nil {
		return nil // cut in some way
	}
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		return nil
	}
	answered.Add(1)
	if full := fmt.Sprintf("PUT %s %d", path, size); string(got) != path && (string(got) != full || stop < size) {
		return fmt.Errorf("%d of %d bytes were sent, the answer is %q", stop, size, got)
	}
	return nil
}
