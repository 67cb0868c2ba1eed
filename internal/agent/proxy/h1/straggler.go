package h1

import (
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// When another attempt of its call has been answered first, one whose request was sent as a whole is a straggler: its answer is waited for a little, and
// dropped, since its connection can be kept then. Without an answer in time, or with a long one, it is cancelled, which in HTTP/1 only the end of
// the connection can say. A new connection in its place costs the agent and the server more than most answers do.
const (
	// StragglerFor is how long by default.
	StragglerFor = 50 * time.Millisecond
	// maxStraggler is how much of its body is read.
	maxStraggler = 64 << 10
)

// straggler is what is left of the attempt. It belongs to a goroutine of its own.
type straggler struct {
	driver   *Driver
	pod      string
	lease    upstream.Lease
	in       *connReader
	info     http1.RequestInfo
	response http1.Response
	body     http1.Body
}

// leaveBehind makes a straggler of an attempt that is carried by a goroutine of its own, if it can be one, and nobody waits for a connection.
func (t *attempt) leaveBehind() bool {
	c, x := t.beside, t.x
	if c == nil || c.again && !c.sent.Load() || !x.answeredElsewhere() || x.Route.Pool.Stats().Waiting > 0 {
		return false
	}
	c.stopped.Store(true)
	t.Lease.Wake()
	t.join()
	if t.err != nil || !t.complete || t.Lease.ClearDeadlines() != nil {
		return false // the wait has ended by itself
	}
	if t.in.reader.Started() {
		t.hasHead = c.headErr == nil && !t.response.Interim()
		if t.hasHead {
			t.in.reader.Body(&t.body, &t.response.Head)
		}
		return false // its body may be there, too
	}
	x.attempted(t, call.Superseded, 0, routes.NoDetail)
	t.in.reader.Close()
	t.in.reader.Account(nothing{})
	s := &straggler{driver: x.driver, pod: x.Client.Pod, lease: t.Lease, in: t.in, info: c.info}
	x.s.forget(t.Lease.Conn.Conn)
	t.Lease, t.server, t.in = upstream.Lease{}, nil, nil
	go s.run()
	return true
}

// leaveDial leaves the connection that is being made for a hedge to other calls: it costs most of its price by now, and the next hedge would have one
// made again. It may take as long as a straggler. It reports false if there is a connection, or nobody may have it.
func (t *attempt) leaveDial() bool {
	c, x := t.beside, t.x
	if c == nil || c.dial == nil || !x.answeredElsewhere() || x.Route.Pool.Stats().Waiting > 0 || !c.stage.CompareAndSwap(connecting, leftBehind) {
		return false
	}
	time.AfterFunc(x.driver.stragglerFor, c.cancel)
	t.beside, t.streaming, t.slot = nil, false, nil
	return true
}

// comesIn reports whether somebody waits for the contender, who does so from now on to its end.
func (c *contender) comesIn() bool {
	return c.stage.CompareAndSwap(connecting, connected) || c.stage.Load() == connected
}

// endAlone is the end of a contender that was left behind. What its connection held of the pool is given back, but for the connection itself.
func (c *contender) endAlone(d *Driver) {
	c.cancel()
	c.dial.Pool.Cancel(time.Now(), c.dial.Request)
	if c.panicked.Holds() {
		what, stack := panics.Cause(&c.panicked)
		d.panicked(c.dial.Client.Pod, what, stack)
	}
}

// answeredElsewhere reports whether the call is answered by an attempt's response.
func (x *exchange) answeredElsewhere() bool {
	return x.Call.Ended() && x.Call.Outcome().Kind == call.OK
}

// run waits for the end of the response, and gives the connection back.
func (s *straggler) run() {
	keep := false
	defer func() {
		if recovered := recover(); recovered != nil {
			keep = false
			s.in.reader.Forfeit()
			what, stack := panics.Cause(recovered)
			s.driver.panicked(s.pod, what, stack)
		} else if !keep {
			s.in.reader.Close()
		}
		s.lease.Release(time.Now(), keep)
	}()
	keep = s.ends(time.Now())
}

// ends reads the response, and reports whether the connection is good for another request.
func (s *straggler) ends(now time.Time) bool {
	s.in.bound(now, now.Add(s.driver.stragglerFor))
	for interims := 0; ; interims++ {
		if s.in.reader.ReadResponse(&s.response, s.info) != nil || interims > MaxInterim {
			return false
		}
		if !s.response.Interim() {
			break
		}
		s.in.reader.Finish()
	}
	s.in.reader.Body(&s.body, &s.response.Head)
	if !s.response.KeepAlive || s.response.Framing == http1.ContentLength && s.response.Length > maxStraggler {
		return false
	}
	for !s.body.Done() {
		if _, err := s.body.Next(); err != nil && !s.body.Done() || s.body.Bytes > maxStraggler {
			return false
		}
	}
	if d, ok := s.response.KeepAliveTimeout(); ok {
		s.lease.LimitIdle(d)
	}
	s.in.reader.Finish()
	return s.in.clean()
}

// nothing is a memory that has none: heads of stragglers are not worth any.
type nothing struct{}

func (nothing) Reserve(int64) bool { return false }

func (nothing) Release(int64) {}
