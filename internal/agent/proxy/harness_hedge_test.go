package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const hedgeDelay = 20 * time.Millisecond

// hedges has attempts get others beside them.
func hedges(h policy.Hedging, more ...func(*policy.Settings)) func(*policy.Settings) {
	return func(s *policy.Settings) {
		s.Retry.MaxRetries, s.Retry.Hedging = 3, h
		for _, f := range more {
			f(s)
		}
	}
}

func afterDelay(most int) policy.Hedging { return policy.Hedging{Max: most, Delay: hedgeDelay} }

// arrivals counts attempts.
type arrivals struct {
	all   int           // that are to come
	come  chan struct{} // closed when they have
	n     atomic.Int64
	won   atomic.Bool  // one of the hedges is answered
	ended atomic.Int64 // attempts whose connection or stream has ended before they were answered
}

func newArrivals(all int) *arrivals { return &arrivals{all: all, come: make(chan struct{})} }

// next counts an attempt that has come.
func (a *arrivals) next() {
	if a.n.Add(1) == int64(a.all) {
		close(a.come)
	}
}

func (a *arrivals) count() int { return int(a.n.Load()) }

// wins waits until all have come, in whichever order, and says whether one of the hedges is the one that is answered.
func (a *arrivals) wins() bool {
	select {
	case <-a.come:
		return a.won.CompareAndSwap(false, true)
	case <-time.After(patience):
		return false
	}
}

// warm is a path of calls that come before those that are hedged: the connection that they leave is the one of the first attempt, by which servers
// know it. Of two connections that are made nobody knows which is there sooner.
const warm = "/warm"

// attemptOf reads the next request that is none to warm. first: it is a first attempt.
func (p *peer) attemptOf() (q *http.Request, body string, first, ok bool) {
	for {
		if q, body, ok = p.request(); !ok || q.URL.Path != warm {
			return q, body, first, ok
		}
		first = true
		p.ok("")
	}
}

// warmed is a client whose first attempt will find a connection.
func (w *testProxy) warmed() *client {
	w.t.Helper()
	c := w.dial()
	if !w.warms(c) {
		w.t.Fatal("the call before is not answered")
	}
	return c
}

// warms has a client make a call that is not hedged, and reports whether it was answered.
func (w *testProxy) warms(c *client) bool {
	w.t.Helper()
	c.send("POST " + warm + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	res, _ := c.response("POST")
	w.seen.forget(w.t)
	return res.StatusCode == 200
}

// inTime tries, with ever longer delays, what can only be seen if a hedge is under way before another time has come, which a slow machine misses.
func inTime(t *testing.T, seen func(delay time.Duration) bool) {
	t.Helper()
	fromDelay(t, hedgeDelay, seen)
}

// fromDelay is inTime with another delay to begin with. It bounds no time: a machine may be as slow as the longest delay is long.
func fromDelay(t *testing.T, delay time.Duration, seen func(delay time.Duration) bool) {
	t.Helper()
	for ; !seen(delay); delay *= 4 {
		if delay > patience {
			t.Fatal("no delay is long enough")
		}
	}
}

// hedgeServer answers a hedge once all attempts have come, and no other: those end when their connection does. It answers none without answerWith.
func hedgeServer(a *arrivals, answerWith func(q *http.Request, body string) string) func(int, *peer) {
	return func(_ int, p *peer) {
		q, body, first, ok := p.attemptOf()
		if !ok {
			return
		}
		if a.next(); first || answerWith == nil || !a.wins() {
			_, _ = p.r.ReadByte() // until it is given up
			a.ended.Add(1)
			return
		}
		p.send(answerWith(q, body))
		_, _ = p.r.ReadByte()
	}
}

// awaitAttempts waits until so many attempts have been reported.
func (o *fakeRecorder) awaitAttempts(t testing.TB, n int) {
	t.Helper()
	o.waitFor(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.attempts) >= n
	})
}

func saying(body string) func(*http.Request, string) string {
	return func(*http.Request, string) string { return answer(200, body) }
}
