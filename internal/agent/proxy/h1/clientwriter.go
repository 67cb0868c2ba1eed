package h1

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// clientWriter is the write side of a session's connection for the codec, as long as an exchange serves it.
type clientWriter struct {
	conn *transport.Conn // nil: none is served
	x    *exchange       // that it is a part of, whose request may go on meanwhile; immutable, nil: none
	// until is the deadline of the whole response, headBy the one by which the client must have accepted the first byte; zero: none.
	until, headBy time.Time
	// stall is how long no byte may move; zero: no limit.
	stall time.Duration
}

// Write implements io.Writer.
func (s *clientWriter) Write(p []byte) (int, error) {
	n, err := s.conn.TryWrite(p)
	if err == nil && n < len(p) {
		var rest int
		rest, err = s.writeSlowly(p[n:], n > 0)
		n += rest
	}
	return n, err
}

// writeSlowly writes to a client that is slower than we are. begun: it has taken something of this.
func (s *clientWriter) writeSlowly(p []byte, begun bool) (done int, err error) {
	var failed error
	step := func(uintptr) bool {
		var n int
		n, failed = s.conn.TryWrite(p[done:])
		done += n
		return n > 0 || failed != nil
	}
	taken := time.Now()
	for done < len(p) {
		end := s.until
		if !begun && done == 0 {
			end = drive.Earlier(end, s.headBy)
		}
		var idle time.Time
		if s.stall > 0 {
			idle = s.lastProgress(taken).Add(s.stall)
		}
		before := done
		err := s.conn.ServeWrites(step, drive.Earlier(end, idle))
		if failed != nil {
			return done, failed
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return done, err
		}
		now := time.Now()
		if done > before {
			taken = now
			continue
		}
		if drive.Passed(end, now) || s.stall > 0 && now.Sub(s.lastProgress(taken)) >= s.stall {
			return done, os.ErrDeadlineExceeded
		}
	}
	return done, nil
}

// lastProgress is when bytes last moved: here, or in the request that goes on meanwhile.
func (s *clientWriter) lastProgress(taken time.Time) time.Time {
	if s.x != nil && s.x.cur.streaming {
		if moved := s.x.cur.lastProgress(taken); moved.After(taken) {
			return moved
		}
	}
	return taken
}
