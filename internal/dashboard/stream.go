package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// beat is how often a stream says something, so that who reads it and what is between know that it lives.
	beat = 15 * time.Second
	// writeTime is how long a reader may take for what is written.
	writeTime = 10 * time.Second
	// together is for how long changes are held back after the first, so that they are one event.
	together = 250 * time.Millisecond
	// heldCalls are those that are kept for a reader that is slow; more are dropped.
	heldCalls = 512
)

// streamPages adds the streams.
func (s *Server) streamPages(mux *http.ServeMux) {
	mux.HandleFunc("GET /"+model.EventsPath, s.bounded(s.events))
	mux.HandleFunc("GET /"+model.CallsPath, s.bounded(s.calls))
}

// bounded refuses streams beyond those that there may be.
func (s *Server) bounded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
			h(w, r)
		default:
			refuse(w, http.StatusServiceUnavailable, "too many pages are open: close some of the dashboard's tabs")
		}
	}
}

// stream writes server-sent events.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
	buf bytes.Buffer
}

func newStream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	return &stream{w: w, out: http.NewResponseController(w)}
}

// event adds an event to what flush writes. JSON has no line breaks of its own, so the data is one line.
func (s *stream) event(name string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		return // the types are ours, and can be written
	}
	s.buf.WriteString("event: " + name + "\ndata: ")
	s.buf.Write(text)
	s.buf.WriteString("\n\n")
}

func (s *stream) beat() { s.buf.WriteString(": on\n\n") }

// flush writes what there is. It reports whether the reader takes it.
func (s *stream) flush() bool {
	_ = s.out.SetWriteDeadline(time.Now().Add(writeTime)) // what cannot have one, in tests, does not block
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	return err == nil && s.out.Flush() == nil
}

// events says what changes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	me, now := s.hub.join()
	defer s.hub.leave(me)
	out := newStream(w)
	out.buf.WriteString("retry: 2000\n")
	out.event(model.HelloEvent, now)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for out.flush() {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			out.beat()
		case <-me.wake:
			if !pause(r.Context(), together) {
				return
			}
			if changed := s.hub.take(me); len(changed) > 0 {
				out.event(model.ChangedEvent, changed)
			}
		}
	}
}

// pause waits; it reports whether ctx has not ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// calls shows calls while they end.
func (s *Server) calls(w http.ResponseWriter, r *http.Request) {
	q := liveapi.ParseQuery(r, "namespace", "pod", "workload", "policy", "host", "status", "outcome", "node", "rate")
	q.Int("rate", 100, 1, 1000)
	if err := q.Err(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	of, me := s.taps.join(r.Context(), r.URL.Query())
	defer s.taps.leave(of, me)
	passOn(r.Context(), newStream(w), me, of.ended)
}

// passOn writes what comes, until the reader has gone or, ended being closed, nothing comes any more.
func passOn(ctx context.Context, out *stream, held *held, ended <-chan struct{}) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	out.beat()
	for out.flush() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			out.beat()
		case <-held.wake:
			held.write(out)
		case <-ended:
			held.write(out)
			out.flush()
			return
		}
	}
}

// held are the events that a reader has not taken yet.
type held struct {
	wake chan struct{} // size 1

	mu sync.Mutex
	// guarded by mu
	calls    []*liveapi.TapLine
	dropped  map[string]uint64 // by node
	troubles []string          // what cannot be read now; nil: the reader has taken that
}

func newHeld() *held { return &held{wake: make(chan struct{}, 1), dropped: map[string]uint64{}} }

func (h *held) call(l *liveapi.TapLine) {
	h.mu.Lock()
	if l.Dropped > 0 {
		h.dropped[l.Node] += l.Dropped
	}
	switch {
	case l.Call == nil:
	case len(h.calls) < heldCalls:
		h.calls = append(h.calls, l)
	default:
		h.dropped[l.Node]++
	}
	h.mu.Unlock()
	h.rouse()
}

func (h *held) trouble(all []string) {
	h.mu.Lock()
	h.troubles = all
	h.mu.Unlock()
	h.rouse()
}

func (h *held) rouse() {
	select {
	case h.wake <- struct{}{}:
	default: // it is still to be written
	}
}

// take returns what is held, which is not held any more.
func (h *held) take() (calls []*liveapi.TapLine, dropped map[string]uint64, troubles []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls, troubles, dropped = h.calls, h.troubles, h.dropped
	h.calls, h.troubles, h.dropped = nil, nil, map[string]uint64{}
	return calls, dropped, troubles
}

// write adds what is held to a stream.
func (h *held) write(out *stream) {
	calls, dropped, troubles := h.take()
	for _, l := range calls {
		out.event(model.CallEvent, liveapi.TapLine{At: l.At, Node: l.Node, Call: l.Call})
	}
	for node, n := range dropped {
		out.event(model.DroppedEvent, model.Dropped{Node: node, Calls: n})
	}
	if troubles != nil {
		out.event(model.TroublesEvent, model.Troubles{Messages: troubles})
	}
}
