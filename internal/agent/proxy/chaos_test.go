package proxy

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// unreliable is an upstream that answers with the request's name, or breaks in every way it can think of.
func unreliable(n int, p *peer) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	for {
		q, body, ok := p.request()
		if !ok {
			return
		}
		name := q.URL.Path + " " + body
		switch rng.IntN(12) {
		case 0: // closes without a word
			return
		case 1: // resets
			_ = p.SetLinger(0)
			return
		case 2: // breaks off in the body
			p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name)+10, name[:len(name)/2]))
			return
		case 3: // breaks off in the head
			p.send("HTTP/1.1 200 OK\r\nContent-Le")
			return
		case 4: // says more than was asked for
			p.send(answer(200, name) + answer(200, "nobody asked"))
		case 5: // a failure that is tried again
			p.send(answer(503, "later"))
		case 6: // chunked
			p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(name), name))
		case 7: // until close
			p.send("HTTP/1.1 200 OK\r\n\r\n" + name)
			return
		case 8: // closes behind a response
			p.ok(name)
			return
		default:
			writePieces(p, answer(200, name), rng, 4)
		}
	}
}

// chaoticCalls is how many calls each client makes.
const chaoticCalls = 60

// However upstreams break and clients leave, a client that gets a complete response gets the one to its own request.
func TestResponsesAreNeverMixedUp(t *testing.T) {
	w := build(t, serve(t, unreliable), toAny(func(s *policy.Settings) {
		s.Retry.On = policy.Of(policy.Reset, policy.ConnectFailure, policy.ServerError)
		s.Retry.MaxRetries = 2
		s.Pool.MaxConnections = 8
	}))
	var (
		clients  sync.WaitGroup
		answered atomic.Int64
	)
	for id := range 16 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 3))
			var c *client
			for i := range chaoticCalls {
				if c == nil {
					c = w.dial()
				}
				alive, got := chaoticCall(t, c, fmt.Sprintf("/%d/%d", id, i), rng)
				answered.Add(got)
				if !alive {
					c.Close()
					c = nil
				}
			}
			if c != nil {
				c.Close()
			}
		})
	}
	clients.Wait()
	if n := answered.Load(); n < 16*chaoticCalls/4 {
		t.Errorf("only %d calls were answered", n)
	}
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	if used := w.server.ReplayMemory().Used(); used != 0 {
		t.Errorf("%d bytes of replay memory are still taken", used)
	}
}

// chaoticCall makes one call and reports whether the connection can be used again, and 1 if it was answered with success.
func chaoticCall(t *testing.T, c *client, path string, rng *rand.Rand) (alive bool, answered int64) {
	body, request := "", "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"
	switch rng.IntN(4) {
	case 0:
		body = strings.Repeat(path, rng.IntN(2000))
		request = fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	case 1:
		body = strings.Repeat(path, 1+rng.IntN(2000))
		request = fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", path, len(body), body)
	}
	if rng.IntN(20) == 0 { // leaves in the middle of the request
		writePieces(c, request[:rng.IntN(len(request))], rng, 3)
		return false, 0
	}
	go writePieces(c.TCPConn, request, rand.New(rand.NewPCG(rng.Uint64(), 1)), 6)
	if rng.IntN(20) == 0 { // leaves without waiting for the response
		return false, 0
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return false, late(t, path, err)
	}
	got, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return false, late(t, path, err)
	case res.StatusCode == 200 && string(got) != path+" "+body:
		// Without a length nobody can tell a complete response from one that was cut off, but never is it another's.
		if !(res.Close && strings.HasPrefix(path+" "+body, string(got))) {
			t.Errorf("%s: got %q", path, clip(string(got)))
		}
	case res.StatusCode != 200 && res.StatusCode != 502 && res.StatusCode != 503:
		t.Errorf("%s: status %d", path, res.StatusCode)
	case res.StatusCode == 200:
		answered = 1
	}
	return !res.Close, answered
}

func late(t *testing.T, path string, err error) int64 {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("%s: no answer in %v", path, patience)
	}
	return 0
}
