package steps

import (
	"errors"
	"math"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	// DefaultWait is how long a trace waits for its call and then for that to end, unless it asks for another time; maxWait is the longest.
	DefaultWait = time.Minute
	maxWait     = 10 * time.Minute
)

// Handler answers with the steps of the next call that a request asks for, one JSON object a line, until the call has ended, the reader goes, or the time
// is over.
func (t *Traces) Handler(node string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := liveapi.ParseQuery(r, "namespace", "pod", "workload", "policy", "host", "method", "path", "header", "mark", "port", "for")
		wait := q.Duration("for", DefaultWait, time.Second, maxWait)
		port := q.Int("port", 0, 1, math.MaxUint16)
		if err := q.Err(); err != nil {
			liveapi.Refuse(w, http.StatusBadRequest, err)
			return
		}
		trace, err := t.Open(Filter{
			Namespace: q.Text("namespace"), Pod: q.Text("pod"), Workload: q.Text("workload"), Policy: q.Text("policy"), Host: q.Text("host"),
			Method: q.Text("method"), Path: q.Text("path"), Header: q.Text("header"), Mark: q.Text("mark"), Port: uint16(port), //nolint:gosec // it is no more
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
		liveapi.Stream(w, r, wait, trace.Lines(), func(l liveapi.TraceLine) any {
			if l.At.IsZero() { // nothing has come
				l.At = time.Now()
			}
			l.Node = node
			return l
		})
	}
}
