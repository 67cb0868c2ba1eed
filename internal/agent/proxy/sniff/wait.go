package sniff

import (
	"errors"
	"io"
	"os"
	"time"
)

// MaxDelay is how long a client's silence may hold up a protocol in which the server speaks first (semantics rule 32).
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

// Wait reads from src until its protocol is known, until a time at most, and lifts the read deadline again. A client that says
// nothing by then is Silent, one that says too little Other. An error is the connection's own; io.EOF means
// that the client ended without a word.
func Wait(conn Deadline, src Source, until time.Time) (Protocol, error) {
	if p := Detect(src.Buffered()); p != Undecided {
		return p, nil
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return Undecided, err
	}
	p, err := wait(src)
	if err != nil {
		return Undecided, err
	}
	return p, conn.SetReadDeadline(time.Time{})
}

func wait(src Source) (Protocol, error) {
	for {
		err := src.More()
		b := src.Buffered()
		switch {
		case err == nil:
		case len(b) > 0 && (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)):
			return Other, nil // what it said is passed on, and so will be its end
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
