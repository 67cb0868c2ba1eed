package h1

import (
	"bytes"
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport"
)

var (
	// errClientLeft ends the sending of a request whose client has gone.
	errClientLeft = errors.New("proxy: the client has left")
	// errAnswered ends the sending of a request that the upstream does not take any more but has answered, or closed.
	errAnswered = errors.New("proxy: answered before the request was taken")
	// errIdle ends the sending of a request after timeouts.idle.
	errIdle = errors.New("proxy: nothing moves")
)

// sendRequest writes the head and the first of the body, for those that are sent at once.
func (t *attempt) sendRequest() error {
	x := t.x
	_, t.err = x.request.WriteRequest(t, t.forward, x.upload.first)
	if t.err == nil {
		t.complete = !x.upload.streamed
		t.until = x.untilOf(t, x.Call.RequestWritten(x.Now, t.ID))
	}
	return t.err
}

// writeSlowly writes to an upstream that is slower than we are. The upstream must take something within t.stall. Unless the request is streamed beside the session's
// goroutine, which checks them then, the client, the attempt's deadline and an early response are checked here (rules 1, 2, 4, 20).
func (t *attempt) writeSlowly(p []byte) (done int, err error) {
	var failed error
	step := func(uintptr) bool {
		var n int
		n, failed = t.tryWrite(p[done:])
		done += n
		return n > 0 || failed != nil
	}
	t.block(true)
	defer t.block(false)
	now := time.Now()
	taken := now
	for look := drive.FirstCheck; done < len(p); look = min(2*look, drive.MaxCheck) {
		before := done
		err := t.Lease.ServeWrites(step, t.waitUntil(now, taken, look))
		if failed != nil {
			return done, failed
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return done, err
		}
		now = time.Now()
		if done > before {
			taken = now
		}
		if err = t.overdue(now, taken); err != nil && done < len(p) {
			return done, err
		}
	}
	if !t.streaming {
		t.x.Now = now
	}
	return done, nil
}

// waitUntil returns when a wait ends for the upstream to take more of a request, of which it took something last at taken.
func (t *attempt) waitUntil(now, taken time.Time, look time.Duration) (until time.Time) {
	if t.stall > 0 {
		until = taken.Add(t.stall)
	}
	if !t.streaming {
		until = drive.Earlier(drive.Earlier(until, t.until), now.Add(look))
	}
	return until
}

// overdue says why a request that the upstream has taken nothing of since a time is not sent on, if it is not.
func (t *attempt) overdue(now, taken time.Time) error {
	if t.stall > 0 && now.Sub(taken) >= t.stall {
		return os.ErrDeadlineExceeded
	}
	if t.streaming {
		return nil // the session's own goroutine checks everything else
	}
	if err := t.Lease.TimeoutError(now); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err // its host or the path is gone
	}
	idle := t.x.Plan.Settings.Timeouts.Idle
	switch {
	case t.x.s.client.Left():
		return errClientLeft
	case t.answered():
		return errAnswered
	case drive.Passed(t.until, now):
		return os.ErrDeadlineExceeded
	case idle > 0 && now.Sub(taken) >= idle:
		return errIdle
	}
	return nil
}

// answered reports whether the upstream has sent a final response, or ended, while it takes nothing. Interim responses are read when the request is
// sent, which they do not end.
func (t *attempt) answered() bool {
	var space [4 << 10]byte
	n, state := t.Lease.PeekInto(space[:])
	if state != transport.Readable {
		return state == transport.Gone
	}
	const status = len("HTTP/1.1 1")
	for b := space[:n]; len(b) >= status; {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		switch {
		case b[status-1] != '1':
			return true
		case end < 0:
			return false
		}
		b = b[end+len("\r\n\r\n"):]
	}
	return false
}

// block notes that the upstream takes nothing, or does again.
func (t *attempt) block(blocked bool) {
	t.mu.Lock()
	t.blocked = blocked
	t.mu.Unlock()
}
