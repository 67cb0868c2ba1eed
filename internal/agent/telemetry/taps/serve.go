package taps

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// heartbeat is how often a tap says that it goes on while there is nothing to show, and so finds out that its reader has gone.
	heartbeat = 5 * time.Second
	// patience is how long a reader may take to take a line before the tap ends.
	patience = 30 * time.Second
	// maxTime is how long a tap lasts at most: one that was forgotten ends.
	maxTime = time.Hour
)

// Handler answers with the calls that a request asks for, one JSON object a line, until the reader goes, the time that it has asked for is over,
// or the agent stops.
func (t *Taps) Handler(node string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := liveapi.ParseQuery(r, "namespace", "pod", "workload", "policy", "host", "status", "outcome", "rate", "for")
		rate := q.Int("rate", DefaultRate, 1, MaxRate)
		lasts := q.Duration("for", maxTime, time.Second, maxTime)
		if err := q.Err(); err != nil {
			liveapi.Refuse(w, http.StatusBadRequest, err)
			return
		}
		tap, err := t.Open(Filter{
			Namespace: q.Text("namespace"), Pod: q.Text("pod"), Workload: q.Text("workload"), Policy: q.Text("policy"),
			Host: q.Text("host"), Status: q.Text("status"), Outcome: q.Text("outcome"),
		}, rate)
		switch {
		case errors.Is(err, ErrTooMany):
			liveapi.Refuse(w, http.StatusServiceUnavailable, err)
			return
		case err != nil:
			liveapi.Refuse(w, http.StatusBadRequest, err)
			return
		}
		defer tap.Close()
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		s := &stream{node: node, tap: tap, out: http.NewResponseController(w), to: json.NewEncoder(w)}
		s.run(r, lasts)
	}
}

// stream writes a tap's lines.
type stream struct {
	node string
	tap  *Tap
	out  *http.ResponseController
	to   *json.Encoder
}

// run writes until something ends the stream. The first line comes at once: the tap is open then.
func (s *stream) run(r *http.Request, lasts time.Duration) {
	end := time.NewTimer(lasts)
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err := s.write(nil); err == nil; {
		select {
		case c := <-s.tap.Calls():
			err = s.write(c)
		case <-beat.C:
			err = s.write(nil)
		case <-end.C:
			_ = s.write(nil) // for what was dropped; the reader may be gone
			return
		case <-r.Context().Done():
			return
		}
	}
}

// write writes a line, and those that have come meanwhile before it is sent.
func (s *stream) write(c *liveapi.Call) error {
	if err := s.out.SetWriteDeadline(time.Now().Add(patience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if err := s.line(c); err != nil {
		return err
	}
	for range len(s.tap.Calls()) {
		if err := s.line(<-s.tap.Calls()); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

func (s *stream) line(c *liveapi.Call) error {
	return s.to.Encode(liveapi.TapLine{At: time.Now(), Node: s.node, Dropped: s.tap.Dropped(), Call: c})
}
