package proxy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// An address of a name that fails is left out like an endpoint, once the others are known, which are looked up for it and not waited for.
func TestRule22_AFailingAddressOfTheNameIsLeftOut(t *testing.T) {
	var failing, serving atomic.Int64
	w := buildNamed(t, counted(t, &serving, always(answer(200, ""))), toHost("api.example", func(s *policy.Settings) {
		eachEndpoint(50)(s)
		s.Retry.MaxRetries = 0
	}))
	w.dialer.at.Store(w.original, counted(t, &failing, always(answer(500, ""))))
	w.names.set("api.example", dead, alive)
	c := w.dial()
	for range 20 {
		c.send("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
		c.response("GET")
	}
	// Two failures would put it out, if another address were known; the third does.
	if failing.Load() != 3 || serving.Load() != 17 {
		t.Errorf("the failing address got %d calls, the other one %d", failing.Load(), serving.Load())
	}
	if asked := w.names.questions(); len(asked) != 1 {
		t.Errorf("looked up %q", asked)
	}
}

// An endpoint whose time is over gets as many calls at once as probes are allowed, and is let back when they succeed. One that never answers gives its place up.
func TestRule22_AnEndpointIsProbedBeforeItIsBack(t *testing.T) {
	var n [2]atomic.Int64
	var well atomic.Bool
	ill := counted(t, &n[0], func(*http.Request) string {
		if well.Load() {
			return answer(200, "")
		}
		return answer(500, "")
	})
	good := counted(t, &n[1], always(answer(200, "")))
	w := build(t, ill)
	w.shop(func(s *policy.Settings) {
		eachEndpoint(50)(s)
		s.Breaker.ConsecutiveFailures, s.Breaker.OpenDuration, s.Breaker.OpenMaxDuration = 1, time.Millisecond, time.Millisecond
		s.Breaker.SuccessesToClose = 3
	}, ill, good)
	c := w.dial()
	poll(t, func() bool { c.get("/"); return n[0].Load() >= 5 }) // a probe each time that its time is over
	well.Store(true)
	before := n[0].Load()
	poll(t, func() bool { c.get("/"); return n[0].Load() >= before+20 })
	if n[1].Load() == 0 {
		t.Error("the other endpoint got nothing")
	}
}
