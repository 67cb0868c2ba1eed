package liveapi

import (
	"context"
	"net/http"
	"time"
)

// Bounds of the answers of a page that whoever reaches the port may ask for, and that may be large: each is kept until it is sent. A Prometheus asks for one at a time, and
// waits for 10 s by default.
const (
	maxAnswers      = 8
	maxAnswersOfOne = 2 // to one address
	answerTime      = 10 * time.Second
)

// ForAnybody has a page, made in turn, be there for all: who reads slowly keeps nobody waiting, and has 10 s. Of more than 8 answers at once, or 2 to one address, the
// oldest ends for each that is asked for, of the address that asks if it has 2 and else of one of those that have most.
func ForAnybody(page http.HandlerFunc) http.HandlerFunc { return forAnybody(page, answerTime) }

func forAnybody(page http.HandlerFunc, within time.Duration) http.HandlerFunc {
	page = InTurn(page)
	answers := newRoom(maxAnswers, maxAnswersOfOne)
	return func(w http.ResponseWriter, r *http.Request) {
		deadline, out := time.Now().Add(within), http.NewResponseController(w)
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		// A writer that knows no deadlines is that of a test, and is not waited for.
		_ = out.SetWriteDeadline(deadline)
		has := answers.enter(addressOf(r.RemoteAddr), func() {
			cancel()
			_ = out.SetWriteDeadline(time.Now())
		})
		defer answers.leave(has)
		page(w, r.WithContext(ctx))
	}
}
