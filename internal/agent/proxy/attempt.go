package proxy

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// attempt is one try: a connection, what was sent on it and the response.
type attempt struct {
	// immutable
	x    *exchange
	send func() error // sendRequest, bound once

	conn     *upstream.Conn // nil: none held
	line     *line          // conn's, or what is left of it when the response was taken over completely
	response http1.Response
	body     http1.Body
	// ready is the part of the body that was taken over before the response is forwarded; all says that it is the whole.
	ready []byte
	stash []byte // memory for ready
	all   bool

	began time.Time
	until time.Time     // when sending must have ended; zero: no limit
	stall time.Duration // the longest time the upstream may take nothing; zero: no limit
	sent  int           // bytes of the request that the kernel accepted
	err   error         // of sending
}

// take begins an attempt on a connection.
func (t *attempt) take(c *upstream.Conn, now time.Time, stall time.Duration) {
	l, ok := c.Attachment.(*line)
	if !ok {
		l = &line{}
		l.attach(c.Conn)
		c.Attachment = l
	}
	t.conn, t.line, t.began = c, l, now
	t.until, t.stall = time.Time{}, stall
	t.sent, t.err, t.all, t.ready = 0, nil, false, nil
}

// drop gives up the attempt; its connection is closed.
func (t *attempt) drop() {
	t.release(false)
}

// release gives the connection back, fit for reuse or not, and the memory with it.
func (t *attempt) release(keep bool) {
	c, l := t.conn, t.line
	t.conn, t.line, t.ready = nil, nil, nil
	if cap(t.stash) > maxStash {
		t.stash = nil
	}
	if l != nil {
		l.before, l.nowait = nil, false
		if keep && c != nil {
			l.reader.Finish()
			keep = len(l.reader.Buffered()) == 0
		}
		if !keep || c == nil {
			l.reader.Close()
		}
	}
	if c != nil {
		c.Done(keep, t.x.now)
	}
}

// maxStash is how much memory for kept responses an attempt holds on to.
const maxStash = 16 << 10

// reusable reports whether the connection can serve another exchange now that the response has been read to its end.
func (t *attempt) reusable() bool {
	return t.response.KeepAlive && t.body.Done() && t.x.upload.sentAll && t.err == nil
}

// sendRequest writes the head and the first of the body.
func (t *attempt) sendRequest() error {
	x := t.x
	n, err := x.request.WriteRequest(t, http1.Forward{Extra: x.extra, Without: x.without}, x.upload.first)
	t.sent += n
	t.err = err
	return err
}

// failure describes how the attempt failed.
func (t *attempt) failure(kind call.Kind) call.Failure {
	return call.Failure{
		Kind: kind, BytesWritten: t.sent > 0, ResponseStarted: t.line.reader.Started(), Reused: t.conn.Reused(),
	}
}

// failed ends the attempt and tells the call.
func (x *exchange) failed(kind call.Kind) call.Action {
	t := x.cur
	f := t.failure(kind)
	x.now = time.Now()
	x.tried(kind, 0)
	t.drop()
	return x.call.TryFailed(x.now, f)
}

// clientGone ends the call because nobody waits for it any more.
func (x *exchange) clientGone() call.Action {
	x.now = time.Now()
	x.tried(call.ClientGone, 0)
	x.cur.drop()
	return x.call.ClientGone(x.now)
}

// kindOf says what an error in reading a response means.
func kindOf(err error) call.Kind {
	var broken *http1.Error
	switch {
	case errors.As(err, &broken):
		return call.BadResponse
	case errors.Is(err, os.ErrDeadlineExceeded):
		return call.AttemptTimeout
	}
	return call.Reset
}

// tried reports the attempt under way to the observer.
func (x *exchange) tried(kind call.Kind, status int) {
	t := x.cur
	if t.conn == nil {
		return
	}
	e := &x.try
	e.Kind, e.Status, e.Retry = kind, status, len(x.avoid) > 1
	e.Reused, e.Peer, e.Took = t.conn.Reused(), t.conn.Peer(), x.now.Sub(t.began)
	x.lane.Recorder().TryDone(e)
}
