package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Connections that are passed through are calls that only connect. Servers send back what they get; the first bytes are those of no request.

// opening is what a connection begins with, followed by its account and its number of bytes.
const opening = "\x00soak %d %d\n"

// drawOpaque draws what bounds connections that are passed through.
func drawOpaque(rng *rand.Rand, f fixed, s *policy.Settings) {
	s.Retry.On, s.Retry.MaxRetries, s.Retry.Overrides, s.Retry.Budget = policy.Of(policy.ConnectFailure), 1+rng.IntN(2), nil, ample
	s.Retry.Idempotency, s.Retry.AvoidPreviousEndpoints, s.Timeouts.Overall = policy.AnyMethod, true, 0
	if f.connections > 0 {
		s.Pool.MaxConnections, s.Pool.MaxPending, s.Pool.PendingTimeout = f.connections, 2, between(rng, 10*time.Millisecond, 300*time.Millisecond)
	}
	if f.rate != nil || f.connections > 0 {
		return
	}
	s.Timeouts.Idle = oneOf(rng, 0, between(rng, 80*time.Millisecond, 200*time.Millisecond))
	s.Timeouts.MaxDuration = oneOf(rng, 0, between(rng, 150*time.Millisecond, 400*time.Millisecond))
}

// newPassed draws a connection.
func newPassed(c *client, rng *rand.Rand) *account {
	a := &account{pod: c.pod, opaque: true, method: "TCP", size: oneOf(rng, 1, rng.IntN(500), rng.IntN(100<<10))}
	a.steps = []step{{status: 200, size: a.size}}
	if rng.IntN(3) == 0 {
		a.steps[0].stall = between(rng, 10*time.Millisecond, 500*time.Millisecond) // for which the client says nothing
	}
	return a
}

// pass makes a connection and keeps its account.
func (c *client) pass(ctx context.Context, a *account) {
	a.begun, a.sends = time.Now(), 1
	conn, err := c.dial(ctx, "", "")
	if err != nil {
		a.err, a.ended = err, time.Now()
		return
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	var sending sync.WaitGroup
	sending.Go(func() { c.send(conn.(*clientConn), a) })
	c.body(a, conn, -1)
	a.ended = time.Now()
	if a.whole = a.err == nil && a.got == a.size; a.whole {
		a.status, a.answer = 200, 0
	}
	conn.Close()
	sending.Wait()
}

// send sends what a connection is to carry, and ends its side.
func (c *client) send(conn *clientConn, a *account) {
	b := make([]byte, a.size)
	fill(b, a.id, -1, 0)
	head := fmt.Appendf(nil, opening, a.id, a.size)
	if _, err := conn.Write(append(head, b[:a.size/2]...)); err != nil {
		return
	}
	time.Sleep(a.steps[0].stall) // a client that has nothing to say for a while
	_, _ = conn.Write(b[a.size/2:])
	_ = conn.CloseWrite()
}

// echo serves connections until the server is stopped.
func (s *server) echo(l net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		serving.Go(func() {
			defer c.Close()
			ended := make(chan struct{})
			defer close(ended)
			go func() {
				select {
				case <-s.closed:
					c.Close()
				case <-ended:
				}
			}()
			s.sendBack(c.(*brittleConn))
		})
	}
}

// sendBack serves a connection.
func (s *server) sendBack(c *brittleConn) {
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	var id, size int
	if n, _ := fmt.Sscanf(line, opening, &id, &size); err != nil || n != 2 {
		if err == nil {
			s.round.violation("a connection began with %q", line)
		}
		return
	}
	a := s.round.account(id)
	if a == nil || a.size != size {
		s.round.violation("a connection was for call %d with %d bytes, which nobody has made", id, size)
		return
	}
	r := a.received(c, "")
	r.backed = s.backs
	b, at := make([]byte, 8<<10), 0
	for err == nil {
		var n int
		n, err = in.Read(b)
		if !matches(b[:n], id, -1, at) {
			r.wrong = "other bytes than were sent"
			return
		}
		at, r.last = at+n, time.Now()
		if _, werr := c.Write(b[:n]); werr != nil {
			return
		}
	}
	a.finished(r, errors.Is(err, io.EOF) && at == size)
}

// checkPassed: a connection comes to one server, which is well, and to no other; and it ends when the policy says, or when its client does.
func (r *round) checkPassed() {
	if r.fixed.kind != kindOpaque {
		return
	}
	if n := r.fixed.connections; n > 0 {
		for _, calls := range r.groups(policy.SharePod) {
			r.checkPlaces(n, calls)
		}
	}
	for _, a := range r.accounts {
		if n := len(a.receipts); n > 1 {
			r.blame(a, "servers saw a connection %d times", n)
		}
		if may := r.possible(a); len(may) == 1 && r.fixed.rate == nil && r.fixed.connections == 0 {
			r.checkPassedEnd(a, &may[0].settings.Timeouts)
		}
	}
}

func (r *round) checkPassedEnd(a *account, t *policy.Timeouts) {
	took, silent, bound := a.ended.Sub(a.begun), a.steps[0].stall, t.MaxDuration
	slack := r.slack(a.begun, a.ended)
	switch {
	case a.whole && bound > 0 && took > bound+slack:
		r.doubt(a, "it lasted %v, and is to for %v", took, bound)
	case a.whole && t.Idle > 0 && silent > t.Idle+slack && took > silent:
		r.doubt(a, "nothing was said for %v, and it was not ended after %v", silent, t.Idle)
	case a.whole:
		r.covers("a connection was passed through")
	case (bound == 0 || took < bound) && (t.Idle == 0 || took < t.Idle):
		r.blame(a, "it ended after %v: %v", took, a.err)
	default:
		r.covers("a connection had to end")
		if limit := max(bound, silent+t.Idle); bound > 0 && took > bound+slack || bound == 0 && took > limit+slack {
			r.doubt(a, "it ended after %v: %v", took, a.err)
		}
	}
}
