package h1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/proxy/tunnel"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// How often the client is checked while a response pauses: soon at first, then at growing intervals.
const (
	firstStreamLook = 100 * time.Millisecond
	maxStreamLook   = 2 * time.Second
)

// leftGrace is how long the upstream may take nothing of an upload whose client has its answer and has left.
const leftGrace = 2 * time.Second

// noChange forwards a head as it is.
var noChange http1.Forward

// forward forwards a response and says what the session does next. until bounds the whole exchange; zero: no limit.
func (x *exchange) forward(t *attempt, until time.Time) step {
	p := &t.response
	if p.Framing == http1.Tunnel {
		return x.tunnel(t, until)
	}
	var err error
	if !t.all && t.ready == nil {
		t.ready, err = t.body.Ready()
	}
	// RFC 9112 section 9.6: "The server SHOULD send a close connection option in its final response on that connection".
	keep, say := p.Persistence(&x.request, x.closing(t))
	x.out.until, x.out.headBy = until, x.Call.Deadline()
	if _, werr := p.WriteResponse(&x.out, http1.Forward{ConnOption: say}, t.ready); werr != nil {
		return x.truncated(t, werr)
	}
	for err == nil && !t.body.Done() {
		x.sendExpectedBody(t)
		err = x.relay(t, until)
	}
	if err == nil && t.streaming {
		err = x.finishUpload(t, until)
	}
	if err != nil {
		return x.truncated(t, err)
	}
	return x.answered(t, keep)
}

// draining reports whether the client's connection must end with the next response, whatever that is.
func (x *exchange) draining() bool { return x.driver.draining() || x.s.routes.Ends() }

// closing reports whether the client's connection must end with this response.
func (x *exchange) closing(t *attempt) bool {
	switch {
	case x.draining():
		return true
	case x.Pinned && !t.response.KeepAlive: // the client chose the server, and may want to choose again as the server does
		return true
	case t.streaming: // an upstream that says close reads on for a while, but nothing behind this request
		return !t.response.KeepAlive
	}
	return !x.upload.done()
}

// answered ends an exchange whose response was forwarded to its end. keep: the client may send another request.
func (x *exchange) answered(t *attempt, keep bool) step {
	if !t.complete && !x.upload.awaits100 && t.response.Status < 400 {
		// RFC 9110 section 7.5 leaves it to the client to go on; it got a success although its request was not sent whole.
		x.Truncated, x.Detail = true, routes.DetailUploadCut
		if errors.Is(t.err, os.ErrDeadlineExceeded) {
			x.Detail = routes.DetailWrite
		}
	}
	t.release(t.reusable())
	switch {
	case !x.upload.done():
		x.s.upstreamEnded = true
		return closeInStages
	case x.s.client.SideEnded(): // in finishUpload: there is no way to answer another request
		return closeInStages
	case !keep && (len(x.s.in.reader.Buffered()) > 0 || x.s.client.Conn.Peek() == transport.Readable):
		return closeInStages
	case !keep:
		return closeNow
	}
	return nextRequest
}

// truncated ends an exchange whose response cannot be forwarded to its end. The client gets a reset, because what it has
// received may look complete.
func (x *exchange) truncated(t *attempt, why error) step {
	x.Now = time.Now()
	x.Truncated = true
	if x.Detail == routes.NoDetail {
		x.Detail = drive.DetailOf(why)
	}
	t.drop()
	x.s.client.Conn.ResetOnClose()
	return closeNow
}

// errCut says that a deadline has passed, or that the client has gone; x.Detail says which.
var errCut = errors.New("proxy: exchange cut")

// cut notes why an exchange is cut.
func (x *exchange) cut(why routes.Detail) error {
	x.Detail = why
	return errCut
}

// relaying is the state of forwarding the rest of a response's body.
type relaying struct {
	t     *attempt
	until time.Time // of the whole exchange
	// the client must have taken something until clientBy, the upstream must have sent something until upstreamBy
	clientBy, upstreamBy time.Time
	look                 time.Duration // until the client is checked again
	progressed           func()        // moveDeadlines, bound once
}

// sendExpectedBody sends the body of a client that goes on with it though a final response came instead of 100 (Continue). It is what
// the head has announced (RFC 9110 section 10.1.1), and the upstream may end its response only when it has read it.
func (x *exchange) sendExpectedBody(t *attempt) {
	if x.expectedBodyCame(t) {
		x.upload.awaits100 = false
		t.startStream()
	}
}

func (x *exchange) expectedBodyCame(t *attempt) bool {
	return x.upload.awaits100 && t.Lease.Conn != nil && (len(x.s.in.reader.Buffered()) > 0 || x.s.client.Conn.Peek() == transport.Readable)
}

// relay forwards the rest of a response's body, until it ends or the body of an expecting client has come. While the request goes on, both sides
// are watched.
func (x *exchange) relay(t *attempt, until time.Time) error {
	r := &x.relaying
	r.t, r.until, r.clientBy, r.upstreamBy = t, until, time.Time{}, time.Time{}
	var to io.Writer = x.s.client.Conn
	if t.streaming {
		to = &x.out // what it writes it can go on with after a while
	} else {
		// The session's own read deadline, under which it may be waiting further down the stack, stays as it is.
		_ = x.s.client.Conn.SetWriteDeadline(until)
		defer func() { _ = x.s.client.Conn.SetWriteDeadline(time.Time{}) }() // fails when closed
	}
	x.moveDeadlines()
	from, had := t.in.received-int64(len(t.in.reader.Buffered())), t.body.Bytes
	defer func() {
		// Spliced bytes were not parsed, so it is not known what follows the body.
		t.in.filled = t.in.filled || t.body.Bytes-had > t.in.received-from
	}()
	for {
		done := t.body.CopyTo(to, http1.Copying{Progress: r.progressed})
		x.Now = time.Now()
		switch {
		case errors.Is(done.Write, os.ErrDeadlineExceeded):
			return x.cut(x.passedOf(until, routes.DetailIdle))
		case done.Write != nil:
			return x.cut(routes.DetailClientLeft)
		case done.Read == nil:
			return nil
		case !errors.Is(done.Read, os.ErrDeadlineExceeded):
			return done.Read
		}
		if err := x.paused(t); err != nil {
			return err
		}
		if x.expectedBodyCame(t) {
			return nil
		}
		r.look = min(2*r.look, maxStreamLook)
		x.armBody()
	}
}

// passedOf names timeouts.maxDuration if that is what has passed, and otherwise what else can have.
func (x *exchange) passedOf(until time.Time, otherwise routes.Detail) routes.Detail {
	if drive.Passed(until, x.Now) {
		return routes.DetailMaxDuration
	}
	return otherwise
}

// paused checks, when nothing has come from the upstream for a while, everything that may end the exchange.
func (x *exchange) paused(t *attempt) error {
	r, limits := &x.relaying, &x.Plan.Settings.Timeouts
	t.tryJoin()
	switch {
	case drive.Passed(r.until, x.Now):
		return x.cut(routes.DetailMaxDuration)
	case drive.Passed(r.upstreamBy, x.Now) && limits.Read != limits.Idle:
		return x.cut(routes.DetailRead)
	case limits.Idle > 0 && drive.Passed(t.lastProgress(x.Now).Add(limits.Idle), x.Now):
		return x.cut(routes.DetailIdle)
	case x.s.client.Left():
		return x.cut(routes.DetailClientLeft)
	}
	return nil
}

// moveDeadlines is called when a piece of the body has been forwarded.
func (x *exchange) moveDeadlines() {
	r, limits := &x.relaying, &x.Plan.Settings.Timeouts
	x.Now = time.Now()
	r.t.receivedAt, r.look = x.Now, firstStreamLook
	if limits.Read > 0 {
		r.upstreamBy = x.Now.Add(limits.Read)
	}
	if limits.Idle > 0 && !r.t.streaming && r.clientBy.Sub(x.Now) < limits.Idle/2 {
		r.clientBy = x.Now.Add(limits.Idle)
		_ = x.s.client.Conn.SetWriteDeadline(drive.Earlier(r.clientBy, r.until)) // fails when closed, and so will the write
	}
	x.armBody()
}

// armBody bounds the next wait for a piece of the body, by the timeouts and by the next check of the client.
func (x *exchange) armBody() {
	r := &x.relaying
	l, end := r.t.in, drive.Earlier(r.until, x.Now.Add(r.look))
	if limits := &x.Plan.Settings.Timeouts; limits.Read > 0 && limits.Read != limits.Idle {
		end = drive.Earlier(end, r.upstreamBy)
	} else if limits.Idle > 0 {
		end = drive.Earlier(end, r.t.lastProgress(x.Now).Add(limits.Idle))
	}
	l.bound(x.Now, end)
	_ = l.conn.Arm(x.Now, end) // for splicing, which reads past the line; an error shows in the read
}

// finishUpload waits for the end of a request whose response has been forwarded, as long as both sides go on with it (semantics
// rule 20). An upstream that ends its side reads on for a while (RFC 9112 section 9.6), and the client gets its FIN.
func (x *exchange) finishUpload(t *attempt, until time.Time) error {
	ended, sent, stuck := false, -1, time.Time{}
	for look := drive.FirstCheck; t.streaming; look = min(2*look, drive.MaxCheck) {
		x.Now = time.Now()
		end := drive.Earlier(drive.Earlier(until, x.idleEndOf(t)), x.Now.Add(look))
		if x.Sleep(end, t.done) == drive.Woken {
			t.joined()
			return nil
		}
		switch {
		case drive.Passed(until, x.Now):
			return x.cut(routes.DetailMaxDuration)
		case drive.Passed(x.idleEndOf(t), x.Now):
			return x.cut(routes.DetailIdle)
		case x.s.client.Conn.Interrupted():
			return x.cut(routes.DetailClientLeft)
		case x.s.client.Left():
			// What it sent before it left is passed on, as it would be without a proxy, as long as the upstream takes it.
			if now := t.accepted(); now != sent {
				sent, stuck = now, x.Now.Add(leftGrace)
			} else if drive.Passed(stuck, x.Now) {
				return x.cut(routes.DetailClientLeft)
			}
		case t.Lease.Ending() == transport.Broken:
			t.stopStream()
		case !ended && t.Lease.Peek() == transport.Gone:
			ended = true
			_ = x.s.client.EndSide() // fails only when the client has gone, which is noticed
		}
	}
	return nil
}

// tunnel forwards the head of a response that ends HTTP on the connection (101, or 2xx to CONNECT) and then passes bytes on.
func (x *exchange) tunnel(t *attempt, until time.Time) step {
	x.out.until, x.out.headBy = until, x.Call.Deadline()
	_, err := t.response.WriteResponse(&x.out, noChange, nil)
	if err == nil && t.streaming {
		err = x.finishUpload(t, until)
	}
	if err != nil {
		return x.truncated(t, err)
	}
	server, idle := t.Lease, x.Plan.Settings.Timeouts.Idle
	server.Detach(x.Now) // a tunnel counts against no limit of requests (rule 25)
	// What has been read behind the heads, if anything, outlives the readers.
	o := tunnel.Options{
		ToServer: bytes.Clone(x.s.in.reader.Buffered()), ToClient: bytes.Clone(t.in.reader.Buffered()), Idle: idle, Until: until,
		Poller: x.s.driver.poller,
	}
	t.in.reader.Close() // the session closes its own
	t.Lease, t.in, server.Attachment = upstream.Lease{}, nil, nil
	carried := tunnel.New(x.s.client.Conn, server.Conn.Conn, o)
	recorder := x.Route.Recorder()
	x.s.tunnel = func() {
		carried.Carry(func(_ tunnel.Result, lasted time.Duration) {
			server.Release(time.Now(), false)
			recorder.TunnelEnded(lasted)
		})
	}
	return closeNow
}
