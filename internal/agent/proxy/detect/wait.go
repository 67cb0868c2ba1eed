package detect

import (
	"errors"
	"io"
	"os"
	"time"
)

// How long to wait for a client that has sent a part of its first line. Its server does not speak first, so only what can still become
// a request line is delayed; other bytes are recognised at once.
const (
	// maxPause is how long it may pause, counted from its last byte.
	maxPause = 100 * time.Millisecond
	// maxLikelyPause is the same once it has begun as most requests begin. Lines come in pieces with pauses when people type them,
	// when small writes wait for acknowledgements (Nagle), and when a pod has used up its share of the processors.
	maxLikelyPause = time.Second
	// maxLine is how long the whole line may take.
	maxLine = 5 * time.Second
)

// MaxDelay is how long the wait for a client's first byte may delay a protocol in which the server speaks first (rule 32).
const MaxDelay = 100 * time.Millisecond

// Source is a connection whose bytes can be looked at before they are consumed.
type Source interface {
	// Buffered returns what was read and not consumed.
	Buffered() []byte
	// More reads at least one byte more.
	More() error
}

// Deadline sets when reading fails with os.ErrDeadlineExceeded.
type Deadline interface {
	SetReadDeadline(t time.Time) error
}

// Wait reads from src until its protocol is known, and lifts the read deadline again. A client that says nothing for as long as
// silence may last is Silent, one that pauses for too long in its first line Other. An error is the connection's own; io.EOF
// means that the client ended without sending a byte.
func Wait(conn Deadline, src Source, silence time.Duration) (Protocol, error) {
	if p := Detect(src.Buffered()); p != Undecided {
		return p, nil
	}
	p, err := wait(conn, src, silence)
	if err != nil {
		return Undecided, err
	}
	return p, conn.SetReadDeadline(time.Time{})
}

func wait(conn Deadline, src Source, silence time.Duration) (Protocol, error) {
	begun := time.Now()
	for now := begun; ; now = time.Now() {
		if err := conn.SetReadDeadline(patience(src.Buffered(), begun, now, silence)); err != nil {
			return Undecided, err
		}
		err := src.More()
		b := src.Buffered()
		switch {
		case err == nil:
		case len(b) > 0 && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)):
			return Other, nil // what it sent is passed on, and so will be its end
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Silent, nil
		default:
			return Undecided, err
		}
		if p := Detect(b); p != Undecided {
			return p, nil
		}
	}
}

// patience returns until when to wait for a client that has sent b until now.
func patience(b []byte, begun, now time.Time, silence time.Duration) time.Time {
	if len(b) == 0 {
		return now.Add(silence)
	}
	until, last := now.Add(maxPause), begun.Add(max(silence, 0)+maxLine)
	if likely(b) {
		until = now.Add(maxLikelyPause)
	}
	if until.After(last) {
		return last
	}
	return until
}
