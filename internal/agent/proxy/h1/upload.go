package h1

import (
	"errors"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http1"
)

// upload is a request's body on the client's side, and what is stored of it for another attempt. While an attempt streams it belongs to
// the attempt's goroutine.
type upload struct {
	body http1.Body
	// first goes out together with the head. It is the whole body when that came with the head.
	first []byte
	err   error // of the client's side
	// awaits100: the client waits for 100 (Continue).
	awaits100 bool

	replay   drive.Replay
	streamed bool // the body does not fit first
	started  bool // a part of it was sent
}

// begin prepares for the body of a request. What has arrived of it is taken into account without waiting for more: many clients
// send head and body one after the other.
func (u *upload) begin(l *connReader, q *http1.Request, limit int64) {
	l.reader.Body(&u.body, &q.Head)
	u.first, u.err, u.awaits100 = nil, nil, false
	u.streamed, u.started = false, false
	u.replay.Begin(limit)
	if u.body.Done() {
		return
	}
	if q.Expect100 {
		u.awaits100, u.streamed = true, true
		return
	}
	if q.Framing != http1.ContentLength || q.Length > int64(len(l.reader.Buffered())) {
		l.noWait = true
		_ = l.reader.More() // an error comes again
		l.noWait = false
	}
	u.first, u.err = u.body.Ready()
	u.streamed = !u.body.Done()
}

// broken is how the body breaks the protocol, as far as it has come; nil: it does not.
func (u *upload) broken() *http1.Error {
	if u.err == nil {
		return nil
	}
	var broken *http1.Error
	_ = errors.As(u.err, &broken)
	return broken
}

// oversized reports whether the body is known to be larger than what the policy keeps of one, wherever it is kept.
func (u *upload) oversized(q *http1.Request) bool {
	return !u.streamed && int64(len(u.first)) > u.replay.Limit() || q.Framing == http1.ContentLength && q.Length > u.replay.Limit()
}

// done reports whether the body was read to its end.
func (u *upload) done() bool { return u.body.Done() }

// finish reads what is left of the body if that can be done without waiting, and reports whether nothing is left.
func (u *upload) finish() bool {
	if !u.body.Done() && !u.awaits100 {
		_, u.err = u.body.Ready()
	}
	return u.body.Done()
}
