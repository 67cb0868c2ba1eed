package proxy

import (
	"errors"
	"io"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/opaque"
	"fairlead.dev/fairlead/internal/agent/socket"
)

const (
	// streamLook is how often a response that pauses has somebody look whether its client is still there.
	streamLook = 2 * time.Second
	// lingerFor and lingerBytes bound what is read from a client after its last response, so that the response is not lost to
	// the reset that unread bytes cause.
	lingerFor   = time.Second
	lingerBytes = 256 << 10
)

// noChange forwards a head as it is.
var noChange http1.Forward

// forward forwards a response and says what the session does next. until bounds the whole exchange; zero: no limit.
func (x *exchange) forward(t *attempt, until time.Time) step {
	p := &t.response
	if p.Framing == http1.Tunnel {
		return x.tunnel(t)
	}
	var err error
	if !t.all && t.ready == nil {
		t.ready, err = t.body.Ready()
	}
	unfinished := !x.upload.done()
	pump := unfinished && !x.upload.held && !t.body.Done() && x.upload.err == nil && t.err == nil
	keep, say := p.Persistence(&x.request, x.srv.draining.Load() || unfinished && !pump)
	if _, werr := p.WriteResponse(&x.s.out, http1.Forward{Say: say}, t.ready); werr != nil {
		return x.truncated(t)
	}
	if err == nil && !t.body.Done() {
		if pump {
			err = x.relayBothWays(t, until)
		} else {
			err = x.relay(t, until)
		}
	}
	if err != nil {
		return x.truncated(t)
	}
	t.release(t.reusable())
	switch {
	case !x.upload.done():
		return hangUpGently
	case !keep && (len(x.s.line.reader.Buffered()) > 0 || x.s.client.Peek() == socket.Readable):
		return hangUpGently
	case !keep:
		return hangUp
	}
	return serveNext
}

// truncated ends an exchange whose response cannot be forwarded to its end. The client is told by a reset, for what it got may
// look complete.
func (x *exchange) truncated(t *attempt) step {
	x.now = time.Now()
	x.report.Truncated = true
	t.drop()
	x.s.client.ResetOnClose()
	return hangUp
}

// errCut says that timeouts.maxDuration or timeouts.read has passed, or that the client has gone.
var errCut = errors.New("proxy: exchange cut")

// relaying is the state of forwarding the rest of a response's body.
type relaying struct {
	t     *attempt
	until time.Time // of the whole exchange
	// the client must have taken something until patience, the upstream must have sent something until quiet
	patience, quiet time.Time
	moved           func() // moveDeadlines, bound once
}

// relay forwards the rest of a response's body.
func (x *exchange) relay(t *attempt, until time.Time) error {
	r := &x.relaying
	r.t, r.until, r.patience, r.quiet = t, until, time.Time{}, time.Time{}
	x.moveDeadlines()
	// The session's own read deadline, under which it may be waiting further down the stack, stays as it is.
	defer func() { _ = x.s.client.TCP().SetWriteDeadline(time.Time{}) }() // fails when closed
	for {
		done := t.body.CopyTo(x.s.client.TCP(), http1.Copying{Progress: r.moved})
		switch {
		case done.Write != nil:
			return done.Write
		case done.Read == nil:
			x.now = time.Now()
			return nil
		case !errors.Is(done.Read, os.ErrDeadlineExceeded):
			return done.Read
		}
		x.now = time.Now()
		if passed(until, x.now) || passed(r.quiet, x.now) || x.s.left() {
			return errCut
		}
		x.armBody()
	}
}

// moveDeadlines is called when a piece of the body has been forwarded.
func (x *exchange) moveDeadlines() {
	r, limits := &x.relaying, &x.plan.Settings.Timeouts
	x.now = time.Now()
	if limits.Read > 0 {
		r.quiet = x.now.Add(limits.Read)
	}
	if limits.Idle > 0 && r.patience.Sub(x.now) < limits.Idle/2 {
		r.patience = x.now.Add(limits.Idle)
		_ = x.s.client.TCP().SetWriteDeadline(r.patience) // fails when closed, and so will the write
	}
	x.armBody()
}

// armBody bounds the next wait for a piece of the body, by the timeouts and by the next look at the client.
func (x *exchange) armBody() {
	l := x.relaying.t.line
	l.now, l.until = x.now, earlier(earlier(x.relaying.until, x.relaying.quiet), x.now.Add(streamLook))
	_ = l.conn.Arm(l.now, l.until) // for splicing, which reads past the line; an error shows in the read
}

// relayBothWays forwards a response that began before its request ended, while the request goes on.
func (x *exchange) relayBothWays(t *attempt, until time.Time) error {
	t.until = until
	up := pumping{done: make(chan struct{})}
	go func() {
		defer close(up.done)
		defer up.fault.catch()
		up.complete = x.pump(t)
	}()
	defer x.stop(t, &up)
	if err := x.relay(t, until); err != nil {
		return err
	}
	wait := time.NewTimer(lingerFor)
	defer wait.Stop()
	select {
	case <-up.done:
	case <-wait.C:
	}
	return nil
}

// pumping is a request that goes on while its response is forwarded.
type pumping struct {
	done chan struct{}
	// valid when done is closed
	complete bool
	fault    fault
}

// stop ends the sending of the request if it has not ended, and waits for that.
func (x *exchange) stop(t *attempt, up *pumping) {
	select {
	case <-up.done:
		x.upload.sentAll = up.complete
	default:
		x.s.client.Interrupt()
		_ = t.conn.TCP().SetDeadline(time.Unix(1, 0)) // the connection is closed after this
		<-up.done
		t.err = errCut
	}
	up.fault.raise()
}

// pump sends the rest of a request's body and reports whether it was sent to its end.
func (x *exchange) pump(t *attempt) (complete bool) {
	u, l := &x.upload, &x.s.line
	for {
		l.now, l.until = time.Now(), time.Time{}
		p, err := u.body.Next()
		if err != nil {
			return err == io.EOF //nolint:errorlint // Next returns io.EOF itself
		}
		if _, err := t.Write(p); err != nil {
			return false
		}
	}
}

// tunnel forwards the head of a response that ends HTTP on the connection (101, or 2xx to CONNECT) and then passes bytes on.
func (x *exchange) tunnel(t *attempt) step {
	if _, err := t.response.WriteResponse(&x.s.out, noChange, nil); err != nil {
		return x.truncated(t)
	}
	s, server, line := x.s, t.conn, t.line
	t.conn, t.line = nil, nil
	server.Detach() // a tunnel counts against no limit of requests (semantics rule 25)
	// Neither reader is used any more, so what they have read stays where it is.
	o := opaque.Options{ToServer: s.line.reader.Buffered(), ToClient: line.reader.Buffered(), Idle: x.plan.Settings.Timeouts.Idle}
	s.tunnel = func() {
		_, _ = opaque.Run(s.client.TCP(), server.TCP(), o) // an error means that one side is gone already
		line.reader.Close()
		server.Done(false, time.Now())
	}
	return hangUp
}

// linger ends the response side and reads what the client is still sending, for a while.
func (s *session) linger() {
	if s.client.TCP().CloseWrite() != nil {
		return
	}
	var waste [4 << 10]byte
	now := time.Now()
	end := now.Add(lingerFor)
	for total := 0; total < lingerBytes; {
		n, err := s.client.Read(waste[:], now, end)
		if err != nil {
			return
		}
		total += n
	}
}
