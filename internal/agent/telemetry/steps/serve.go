package steps

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// heartbeat is how often a trace says that it goes on while there is nothing to show, and so finds out that its reader has gone.
	heartbeat = 5 * time.Second
	// patience is how long a reader may take to take a line before the trace ends.
	patience = 30 * time.Second
	// DefaultWait is how long a trace waits for its call and then for that to end, unless it asks for another time; maxWait is the longest.
	DefaultWait = time.Minute
	maxWait     = 10 * time.Minute
)

// Handler answers with the steps of the next call that a request asks for, one JSON object a line, until the call has ended, the reader goes, or the time
// is over.
func (t *Traces) Handler(node string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := liveapi.ParseQuery(r, "namespace", "pod", "workload", "policy", "host", "method", "path", "header", "mark", "for")
		wait := q.Duration("for", DefaultWait, time.Second, maxWait)
		if err := q.Err(); err != nil {
			liveapi.Refuse(w, http.StatusBadRequest, err)
			return
		}
		trace, err := t.Open(Filter{
			Namespace: q.Text("namespace"), Pod: q.Text("pod"), Workload: q.Text("workload"), Policy: q.Text("policy"), Host: q.Text("host"),
			Method: q.Text("method"), Path: q.Text("path"), Header: q.Text("header"), Mark: q.Text("mark"),
		})
		switch {
		case errors.Is(err, ErrTooMany):
			liveapi.Refuse(w, http.StatusServiceUnavailable, err)
			return
		case err != nil:
			liveapi.Refuse(w, http.StatusBadRequest, err)
			return
		}
		defer trace.Close()
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		s := &stream{node: node, trace: trace, out: http.NewResponseController(w), to: json.NewEncoder(w)}
		s.run(r, wait)
	}
}

// stream writes a trace's lines.
type stream struct {
	node  string
	trace *Trace
	out   *http.ResponseController
	to    *json.Encoder
}

// run writes until something ends the stream. The first line comes at once: the trace is open then.
func (s *stream) run(r *http.Request, wait time.Duration) {
	end := time.NewTimer(wait)
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err := s.write(liveapi.TraceLine{At: time.Now()}); err == nil; {
		select {
		case l, ok := <-s.trace.Lines():
			if !ok {
				return
			}
			err = s.write(l)
		case <-beat.C:
			err = s.write(liveapi.TraceLine{At: time.Now()})
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// write writes a line, and those that have come meanwhile before it is sent.
func (s *stream) write(l liveapi.TraceLine) error {
	if err := s.out.SetWriteDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if err := s.line(l); err != nil {
		return err
	}
	for range len(s.trace.Lines()) {
		if err := s.line(<-s.trace.Lines()); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

func (s *stream) line(l liveapi.TraceLine) error {
	l.Node = s.node
	return s.to.Encode(l)
}
