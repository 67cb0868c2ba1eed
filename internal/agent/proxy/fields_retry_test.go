package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// counted is an upstream that counts requests, and answers each with what f makes of it.
func counted(t *testing.T, n *atomic.Int64, f func(q *http.Request) string) netip.AddrPort {
	t.Helper()
	return serve(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			n.Add(1)
			p.send(f(q))
		}
	})
}

// always answers every request alike.
func always(response string) func(*http.Request) string {
	return func(*http.Request) string { return response }
}

const (
	aGET  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	aPOST = "POST / HTTP/1.1\r\nHost: a\r\nX-Key: k\r\nContent-Length: 2\r\n\r\nhi"
)

// headed is an empty response with a field.
func headed(status int, field string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%s\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status), field)
}

// retryCase is a setting of retry, and how often a call is tried with it.
type retryCase struct {
	set     func(*policy.Retry)
	request string // aGET if empty
	answer  string // to every attempt
	calls   int    // 1 if 0
	want    int64  // attempts
}

// retryCases are about every field of retry that decides how often a call is tried, whatever its protocol.
func retryCases() map[string]retryCase {
	conflict := policy.Of(policy.Conflict)
	teapot := []policy.StatusRange{{From: 418, To: 419}}
	return map[string]retryCase{
		"maxRetries":      {set: func(r *policy.Retry) { r.On, r.MaxRetries = policy.Of(policy.GatewayError), 4 }, answer: answer(503, ""), want: 5},
		"gateway error":   {set: func(r *policy.Retry) { r.On = policy.Of(policy.GatewayError) }, answer: answer(504, ""), want: 3},
		"server error":    {set: func(r *policy.Retry) { r.On = policy.Of(policy.ServerError) }, answer: answer(500, ""), want: 3},
		"not implemented": {set: func(r *policy.Retry) { r.On = policy.Of(policy.ServerError) }, answer: answer(501, ""), want: 1},
		"rate limited":    {set: func(r *policy.Retry) { r.On = policy.Of(policy.RateLimited) }, answer: answer(429, ""), want: 3},
		"conflict":        {set: func(r *policy.Retry) { r.On = conflict }, answer: answer(409, ""), want: 3},
		"retry-after": {
			set: func(r *policy.Retry) { r.On = policy.Of(policy.RetryAfterPresent) }, answer: headed(404, "Retry-After: 0"), want: 3,
		},
		"statusCodes": {set: func(r *policy.Retry) { r.StatusCodes = teapot }, answer: answer(418, ""), want: 3},
		"a header": {
			set:    func(r *policy.Retry) { r.ResponseHeaders = []policy.HeaderMatch{{Name: "x-retry"}} },
			answer: headed(200, "X-Retry: yes"), want: 3,
		},
		"another value": {
			set:    func(r *policy.Retry) { r.ResponseHeaders = []policy.HeaderMatch{{Name: "x-retry", Value: "now"}} },
			answer: headed(200, "X-Retry: yes"), want: 1,
		},
		"an override's condition": {
			set: func(r *policy.Retry) {
				r.Overrides = []policy.RetryOverride{{On: conflict, MaxRetries: 2, Backoff: r.Backoff}}
			},
			answer: answer(409, ""), want: 3,
		},
		"an override's statusCodes": {
			set: func(r *policy.Retry) {
				r.Overrides = []policy.RetryOverride{{StatusCodes: teapot, MaxRetries: 2, Backoff: r.Backoff}}
			},
			answer: answer(418, ""), want: 3,
		},
		"an override's maxRetries": {
			set: func(r *policy.Retry) {
				r.Overrides = []policy.RetryOverride{{On: conflict, MaxRetries: 5, Backoff: r.Backoff}}
			},
			answer: answer(409, ""), want: 6,
		},
		"retryAfter not honoured": {
			set:    func(r *policy.Retry) { r.On, r.RetryAfter.Honor = policy.Of(policy.GatewayError), false },
			answer: headed(503, "Retry-After: 3600"), want: 3,
		},
		"retryAfter above its max": {
			set:    func(r *policy.Retry) { r.On, r.RetryAfter.Max = policy.Of(policy.GatewayError), 500*time.Millisecond },
			answer: headed(503, "Retry-After: 1"), want: 1,
		},
		"overloaded":     {set: func(r *policy.Retry) { r.On = policy.Of(policy.RateLimited) }, answer: answer(529, ""), want: 3},
		"retry-after-ms": {set: func(r *policy.Retry) { r.On = policy.Of(policy.RetryAfterPresent) }, answer: headed(404, "Retry-After-Ms: 0"), want: 3},
		"retry-after-ms above its max": {
			set:    func(r *policy.Retry) { r.On, r.RetryAfter.Max = policy.Of(policy.GatewayError), 500*time.Millisecond },
			answer: headed(503, "Retry-After-Ms: 501"), want: 1,
		},
		"the limit's reset above its max": {
			set:    func(r *policy.Retry) { r.On, r.RetryAfter.Max = policy.Of(policy.RateLimited), 5*time.Second },
			answer: headed(529, "X-RateLimit-Reset: 6"), want: 1,
		},
		"the limit's reset where no limit is": {
			set: func(r *policy.Retry) { r.On = policy.Of(policy.GatewayError) }, answer: headed(503, "X-RateLimit-Reset: 3600"), want: 3,
		},
		"the limit's reset asks for no retry": {
			set: func(r *policy.Retry) { r.On = policy.Of(policy.RetryAfterPresent) }, answer: headed(429, "X-RateLimit-Reset: 0"), want: 1,
		},
		"any method": {
			set:     func(r *policy.Retry) { r.On, r.Idempotency = policy.Of(policy.GatewayError), policy.AnyMethod },
			request: aPOST, answer: answer(503, ""), want: 3,
		},
		"a key of another name": {
			set: func(r *policy.Retry) {
				r.On, r.Idempotency, r.KeyHeader = policy.Of(policy.GatewayError), policy.IdempotentOrKeyed, "X-Key"
			},
			request: aPOST, answer: answer(503, ""), want: 3,
		},
		"no budget": {
			set: func(r *policy.Retry) {
				r.On, r.Budget = policy.Of(policy.GatewayError), policy.Budget{Window: 10 * time.Second}
			},
			answer: answer(503, ""), calls: 20, want: 20,
		},
	}
}

// Each field decides how often a call is tried.
//
//enforces:http1 retry.maxRetries retry.when retry.statusCodes retry.responseHeaders[].name retry.responseHeaders[].value
//enforces:http1 retry.overrides[].when retry.overrides[].statusCodes retry.overrides[].maxRetries
//enforces:http1 retry.retryAfter.honor retry.retryAfter.max retry.idempotency.mode retry.idempotency.keyHeader
//enforces:http1 retry.budget.percent retry.budget.minRetriesPerSecond
func TestRule09_EveryFieldDecidesOnRetries(t *testing.T) {
	for name, tc := range retryCases() {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(tc.answer)), toAny(func(s *policy.Settings) { tc.set(&s.Retry) }))
			if tc.request == "" {
				tc.request = aGET
			}
			c := w.dial()
			for range max(tc.calls, 1) {
				c.send(tc.request)
				c.response("GET")
			}
			if n.Load() != tc.want {
				t.Errorf("%d attempts, want %d", n.Load(), tc.want)
			}
		})
	}
}

// Calls that began before the budget's window do not count for it.
//
//enforces:http1 retry.budget.window
func TestRule13_OldCallsAreNotInTheBudget(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, func(q *http.Request) string {
		if q.URL.Path == "/bad" {
			return answer(503, "")
		}
		return answer(200, "")
	}), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Retry.Budget = policy.Of(policy.GatewayError), policy.Budget{Percent: 20, Window: 20 * time.Millisecond}
	}))
	c := w.dial()
	for range 9 {
		c.get("/")
	}
	c.pause(50 * time.Millisecond)
	c.get("/bad")
	if n.Load() != 10 {
		t.Errorf("%d attempts for 10 calls: one retry of 10 was allowed though the first 9 are long ago", n.Load())
	}
}

// placedOn puts a backoff for a failure where one can stand.
func placedOn(c policy.Condition) map[string]func(*policy.Retry, policy.Backoff) {
	return map[string]func(*policy.Retry, policy.Backoff){
		"retry": func(r *policy.Retry, b policy.Backoff) { r.On, r.Backoff = policy.Of(c), b },
		"an override": func(r *policy.Retry, b policy.Backoff) {
			r.Overrides = []policy.RetryOverride{{On: policy.Of(c), MaxRetries: 3, Backoff: b}}
		},
	}
}

// growing are backoffs, and how many attempts of four they let begin within a minute.
var growing = map[string]struct {
	backoff policy.Backoff
	want    int64
}{
	"a fixed wait does not grow":     {policy.Backoff{Strategy: policy.Fixed, Initial: time.Millisecond, Max: time.Hour, Multiplier: 1e9}, 4},
	"a growing one soon is too long": {policy.Backoff{Strategy: policy.Exponential, Initial: time.Millisecond, Max: time.Hour, Multiplier: 1e9}, 2},
	"the first is too long":          {policy.Backoff{Strategy: policy.Exponential, Initial: time.Hour, Max: time.Hour, Multiplier: 2}, 1},
}

// A wait that passes the deadline is not begun (rule 3), so that the number of attempts tells how long waits would have been.
//
//enforces:http1 retry.backoff.strategy retry.backoff.initialInterval retry.backoff.maxInterval retry.backoff.multiplier
//enforces:http1 retry.overrides[].backoff.strategy retry.overrides[].backoff.initialInterval retry.overrides[].backoff.maxInterval
//enforces:http1 retry.overrides[].backoff.multiplier
func TestRule15_WaitsGrowAsWritten(t *testing.T) {
	for name, tc := range growing {
		for place, put := range placedOn(policy.GatewayError) {
			t.Run(name+"/"+place, func(t *testing.T) {
				var n atomic.Int64
				w := build(t, counted(t, &n, always(answer(503, ""))), toAny(func(s *policy.Settings) {
					b := tc.backoff
					b.Jitter = policy.JitterNone
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, time.Minute
					put(&s.Retry, b)
				}))
				w.dial().get("/")
				if n.Load() != tc.want {
					t.Errorf("%d attempts, want %d", n.Load(), tc.want)
				}
			})
		}
	}
}

const drawnWithin = 300 * time.Millisecond

// drawn are backoffs, and whether some of many waits fit into drawnWithin.
var drawn = map[string]struct {
	backoff policy.Backoff
	fits    bool
}{
	// Full jitter, the default, would fit three times in four.
	"without jitter none fits": {policy.Backoff{Initial: 4 * drawnWithin / 3, Jitter: policy.JitterNone}, false},
	// Of 0 % none would fit.
	"with 100 % some fit": {policy.Backoff{Initial: drawnWithin, Jitter: policy.JitterProportional, JitterPercent: 100}, true},
}

// Whether a wait fits into the deadline tells how it is drawn.
//
//enforces:http1 retry.backoff.jitter retry.backoff.jitterPercent retry.overrides[].backoff.jitter retry.overrides[].backoff.jitterPercent
func TestRule15_WaitsAreDrawnAsWritten(t *testing.T) {
	for name, tc := range drawn {
		for place, put := range placedOn(policy.GatewayError) {
			t.Run(name+"/"+place, func(t *testing.T) {
				var n atomic.Int64
				w := build(t, counted(t, &n, always(answer(503, ""))), toAny(func(s *policy.Settings) {
					b := tc.backoff
					b.Strategy, b.Max = policy.Fixed, b.Initial
					s.Retry.MaxRetries, s.Timeouts.Overall = 3, drawnWithin
					put(&s.Retry, b)
				}))
				again := false
				for range 40 {
					n.Store(0)
					w.dial().get("/")
					if n.Load() > 1 {
						again = true
						break
					}
				}
				if again != tc.fits {
					t.Errorf("a call was attempted again: %v", again)
				}
			})
		}
	}
}
