package h1

import (
	"errors"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// sender is the write side of a session's connection for the codec.
type sender struct {
	conn *transport.Conn
	// x is the exchange whose answer is written, whose time counts; nil: none.
	x *exchange
	// until is when it must be over, headBy when the client must have taken the first byte; zero: never.
	until, headBy time.Time
	// stall is the longest time in which nothing may move; zero: no limit.
	stall time.Duration
}

// Write implements io.Writer.
func (s *sender) Write(p []byte) (int, error) {
	n, err := s.conn.TryWrite(p)
	if err == nil && n < len(p) {
		var rest int
		rest, err = s.writeSlowly(p[n:], n > 0)
		n += rest
	}
	return n, err
}

// writeSlowly writes to a client that is slower than we are. begun: it has taken something of this.
func (s *sender) writeSlowly(p []byte, begun bool) (done int, err error) {
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
			idle = s.lastMoved(taken).Add(s.stall)
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
		if drive.Passed(end, now) || s.stall > 0 && now.Sub(s.lastMoved(taken)) >= s.stall {
			return done, os.ErrDeadlineExceeded
		}
	}
	return done, nil
}

// lastMoved is when something last moved: here, or in the request that goes on meanwhile.
func (s *sender) lastMoved(taken time.Time) time.Time {
	if s.x != nil && s.x.cur.streaming {
		if moved := s.x.cur.lastMoved(taken); moved.After(taken) {
			return moved
		}
	}
	return taken
}
