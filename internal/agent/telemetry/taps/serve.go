package taps

import (
	"errors"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// maxTime is how long a tap lasts at most: one that was forgotten ends.
const maxTime = time.Hour

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
		liveapi.Stream(w, r, lasts, tap.Calls(), func(c *liveapi.Call) any {
			return liveapi.TapLine{At: time.Now(), Node: node, Dropped: tap.Dropped(), Call: c}
		})
	}
}
