package liveapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

const (
	// heartbeat is how often a stream says that it goes on while there is nothing to show, and so finds out that its reader has gone.
	heartbeat = 5 * time.Second
	// patience is how long a reader may take to take a line before the stream ends.
	patience = 30 * time.Second
)

// Stream answers with what comes, one JSON object a line, until the channel is closed, the time is over, or the reader goes or takes nothing for 30 s.
// line makes the line of something that has come. Of the zero value it makes one that says that the stream goes on: the first, which comes at once, the
// last when the time is over, and one every 5 s.
func Stream[T any](w http.ResponseWriter, r *http.Request, lasts time.Duration, from <-chan T, line func(T) any) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s := &stream[T]{from: from, line: line, out: http.NewResponseController(w), to: json.NewEncoder(w)}
	end := time.NewTimer(lasts)
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var nothing T
	for err := s.write(nothing); err == nil; {
		select {
		case l, ok := <-from:
			if !ok {
				return
			}
			err = s.write(l)
		case <-beat.C:
			err = s.write(nothing)
		case <-end.C:
			_ = s.write(nothing) // the reader may be gone
			return
		case <-r.Context().Done():
			return
		}
	}
}

type stream[T any] struct {
	from <-chan T
	line func(T) any
	out  *http.ResponseController
	to   *json.Encoder
}

// write writes a line, and those that have come meanwhile before it is sent.
func (s *stream[T]) write(l T) error {
	if err := s.out.SetWriteDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if err := s.to.Encode(s.line(l)); err != nil {
		return err
	}
	for range len(s.from) {
		if err := s.to.Encode(s.line(<-s.from)); err != nil {
			return err
		}
	}
	return s.out.Flush()
}
