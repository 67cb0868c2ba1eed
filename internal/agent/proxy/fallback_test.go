package proxy

import (
	"bufio"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// fallsBack has calls end with a response of the policy's own, in all cases or in some.
func fallsBack(r policy.FallbackResponse, on ...policy.FallbackOn) func(*policy.Settings) {
	f := &policy.Fallback{On: policy.FallbackOn{CircuitOpen: true, RetriesExhausted: true, RateLimited: true}, Response: &r}
	if len(on) > 0 {
		f.On = on[0]
	}
	return func(s *policy.Settings) { s.Fallback, s.Retry.MaxRetries = f, 0 }
}

// sorry is a response that says everything that one can say.
func sorry() policy.FallbackResponse {
	return policy.FallbackResponse{
		Status:  203,
		Headers: []policy.HeaderField{{Name: "X-Why", Value: "<%REASON%>"}, {Name: "Content-Type", Value: "application/json"}},
		Body:    `{"why":"%REASON%"}`,
	}
}

// saysSorry checks that a response is that of sorry, for a reason.
func saysSorry(t *testing.T, status int, head func(string) string, body, reason string) {
	t.Helper()
	if status != 203 || body != `{"why":"`+reason+`"}` {
		t.Errorf("got %d %q", status, body)
	}
	if head("x-why") != "<"+reason+">" || head("content-type") != "application/json" || head("fairlead-reason") != reason {
		t.Errorf("got %q, %q, %q for the reason %s", head("x-why"), head("content-type"), head("fairlead-reason"), reason)
	}
}

//enforces:http1 fallback.response.statusCode fallback.response.headers[].name fallback.response.headers[].value fallback.response.body
func TestAFailedCallIsAnsweredAsThePolicySays(t *testing.T) {
	for name, tc := range map[string]struct {
		request string
		refuse  int64
		reason  string
		want    int64 // requests at the upstream
		whole   bool  // the connection goes on
	}{
		"a failed response":     {request: aGET, reason: "upstream_failure", want: 1, whole: true},
		"no connection":         {request: aGET, refuse: 100, reason: "connect_failure", whole: true},
		"what is never retried": {request: aPOST, reason: "upstream_failure", want: 1, whole: true},
		"the last of a client":  {request: strings.Replace(aGET, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), reason: "upstream_failure", want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(503, "busy"))), toAny(fallsBack(sorry())))
			w.dialer.refuse.Store(tc.refuse)
			c := w.dial()
			for range 2 {
				c.send(tc.request)
				res, body := c.response("GET")
				saysSorry(t, res.StatusCode, res.Header.Get, body, tc.reason)
				if res.Close != !tc.whole {
					t.Errorf("the connection ends: %v", res.Close)
				}
				if !tc.whole {
					c.expectEnd()
					return
				}
			}
			if n.Load() != 2*tc.want {
				t.Errorf("%d requests have come, want %d", n.Load(), 2*tc.want)
			}
			if o := w.seen.lastCall(t).Outcome; o.Fallback != call.FellBackOnResponse || o.Status != 203 || o.Decision <= call.Recovered {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// A good response stays, and so does one that is not good where the fallback is for something else.
//
//enforces:http1 fallback.when
func TestAFallbackIsForWhatIsListed(t *testing.T) {
	var n atomic.Int64
	change := fallsBack(sorry(), policy.FallbackOn{CircuitOpen: true})
	w := build(t, counted(t, &n, status), toAny(func(s *policy.Settings) {
		change(s)
		guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })(s)
	}))
	c := w.dial()
	for _, path := range []string{"/500", "/404", "/500", "/500"} {
		if res, _ := c.get(path); res.StatusCode != statusFor(path) {
			t.Fatalf("%s is answered %d", path, res.StatusCode)
		}
	}
	res, body := c.get("/")
	saysSorry(t, res.StatusCode, res.Header.Get, body, "circuit_open")
	if n.Load() != 4 {
		t.Errorf("%d requests have come", n.Load())
	}
}

// A limit of the policy's own is no failure of the upstream's, and has a case of its own.
func TestACallAboveTheRateFallsBack(t *testing.T) {
	change := fallsBack(sorry(), policy.FallbackOn{RateLimited: true})
	limited := func(s *policy.Settings) {
		change(s)
		s.RateLimit = &policy.RateLimit{Requests: 1, Burst: 1, Per: time.Hour}
	}
	t.Run("HTTP/1", func(t *testing.T) {
		var n atomic.Int64
		w := build(t, counted(t, &n, always(answer(503, ""))), toAny(limited))
		c := w.dial()
		if res, _ := c.get("/"); res.StatusCode != 503 {
			t.Fatalf("got %d", res.StatusCode)
		}
		w.seen.forget(t)
		res, body := c.get("/")
		saysSorry(t, res.StatusCode, res.Header.Get, body, "rate_limited")
		if e := w.seen.lastCall(t); n.Load() != 1 || e.Outcome.Kind != call.RateLimited || e.Detail == "" {
			t.Errorf("%d requests have come; %+v", n.Load(), e)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		var n atomic.Int64
		w := answering(t, &n, toAnyH2(limited), busy)
		c := w.dialH2(http2test.Options{})
		getH2(t, c, "/")
		w.seen.forget(t)
		s := must(c.Get("a", "/", nil))(t)
		_, head := statusOf(t, s)
		saysSorry(t, 203, head.Get, string(must(s.Body())(t)), "rate_limited")
		if e := w.seen.lastCall(t); n.Load() != 1 || e.Outcome.Kind != call.RateLimited || e.Detail == "" {
			t.Errorf("%d requests have come; %+v", n.Load(), e)
		}
	})
}

func TestAFallbackWithoutABody(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		give   policy.FallbackResponse
		length string
	}{
		"HEAD":                      {"HEAD", sorry(), "25"},
		"nothing to say":            {"GET", policy.FallbackResponse{Status: 200}, "0"},
		"a status without a body":   {"GET", policy.FallbackResponse{Status: 204, Body: "x"}, ""},
		"another":                   {"GET", policy.FallbackResponse{Status: 304, Body: "x"}, ""},
		"one that resets a content": {"GET", policy.FallbackResponse{Status: 205, Body: "x"}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, echo), toAny(fallsBack(tc.give)))
			w.dialer.refuse.Store(100)
			c := w.dial()
			for range 2 { // the second is found behind the first
				c.send(tc.method + " / HTTP/1.1\r\nHost: a\r\n\r\n")
				res, body := c.response(tc.method)
				if res.StatusCode != tc.give.Status || body != "" || res.Header.Get("Content-Length") != tc.length {
					t.Errorf("got %d %v %q", res.StatusCode, res.Header, body)
				}
			}
			up := build(t, serve(t, echo), toAnyH2(fallsBack(tc.give)))
			up.dialer.refuse.Store(100)
			s := must(up.dialH2(http2test.Options{}).Request(true, http2test.Head(tc.method, "a", "/")))(t)
			_, head := statusOf(t, s)
			if got := string(must(s.Body())(t)); got != "" || head.Get("content-length") != tc.length {
				t.Errorf("got %v, %q", head, got)
			}
		})
	}
}

// A client that is in the midst of its request reads the answer before its connection ends.
func TestAFallbackInTheMidstOfARequest(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		p.headOnly()
		p.send(answer(503, "busy"))
		p.r.ReadByte()
	}), toAny(fallsBack(sorry())))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome")
	res, body := c.response("POST")
	saysSorry(t, res.StatusCode, res.Header.Get, body, "upstream_failure")
	if !res.Close {
		t.Error("the connection goes on in the midst of a request")
	}
}

//enforces:http2 fallback.when fallback.response.statusCode fallback.response.headers[].name fallback.response.headers[].value
//enforces:http2 fallback.response.body
func TestAFailedCallIsAnsweredAsThePolicySaysOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		on     policy.FallbackOn
		refuse int64
		before int // calls that fail
		path   string
		reason string // empty: the response stays
	}{
		"a failed response":              {on: policy.FallbackOn{RetriesExhausted: true}, path: "/503", reason: "upstream_failure"},
		"no connection":                  {on: policy.FallbackOn{RetriesExhausted: true}, refuse: 100, path: "/", reason: "connect_failure"},
		"an open breaker":                {on: policy.FallbackOn{CircuitOpen: true}, refuse: 2, before: 2, path: "/", reason: "circuit_open"},
		"a failure that is not listed":   {on: policy.FallbackOn{CircuitOpen: true}, path: "/503"},
		"a response that is good enough": {on: policy.FallbackOn{RetriesExhausted: true}, path: "/404"},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			change := fallsBack(sorry(), tc.on)
			w := answering(t, &n, toAnyH2(func(s *policy.Settings) {
				change(s)
				guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })(s)
			}), statusFor)
			w.dialer.refuse.Store(tc.refuse)
			for range tc.before {
				getH2(t, w.dialH2(http2test.Options{}), "/")
			}
			c := w.dialH2(http2test.Options{})
			s := must(c.Get("a", tc.path, nil))(t)
			status, head := statusOf(t, s)
			if tc.reason == "" {
				if "/"+status != tc.path || head.Get("fairlead-reason") != "" {
					t.Errorf("got %v", head)
				}
				return
			}
			body := string(must(s.Body())(t))
			if status != "203" {
				t.Errorf("got %v", head)
			}
			saysSorry(t, 203, head.Get, body, tc.reason)
		})
	}
}

// The client takes the body when it likes, and may go on with its request meanwhile.
func TestAFallbackIsTakenSlowlyOverHTTP2(t *testing.T) {
	r := sorry()
	r.Body = strings.Repeat("x", 4096)
	w := build(t, serve(t, echo), toAnyH2(fallsBack(r)))
	w.dialer.refuse.Store(100)
	c := w.dialH2(http2test.Options{Settings: []xhttp2.Setting{{ID: xhttp2.SettingInitialWindowSize, Val: 1000}}, HoldWindows: true})
	s := must(c.Request(false, http2test.Head("POST", "a", "/")))(t)
	statusOf(t, s)
	must(s.Received(1000))(t)
	check(t, s.Data(make([]byte, 100), false))
	check(t, s.GiveWindow(10_000))
	if body := must(s.Received(4096))(t); body != 4096 {
		t.Errorf("%d bytes", body)
	}
	if code := must(s.AwaitReset())(t); code != xhttp2.ErrCodeNo {
		t.Errorf("the rest of the request is refused with %v", code)
	}
	if res, body := do(t, w.clientH2(), http.MethodGet, "/", ""); res.StatusCode != 203 || len(body) != 4096 {
		t.Errorf("got %d, %d bytes", res.StatusCode, len(body))
	}
}

//enforces:grpc fallback.when fallback.response.statusCode fallback.response.headers[].name fallback.response.headers[].value
func TestGRPCCallsFallBackOnAStatus(t *testing.T) {
	written := []policy.HeaderField{{Name: "Grpc-Status", Value: "5"}, {Name: "X-Why", Value: "%REASON%"}}
	for name, tc := range map[string]struct {
		give policy.FallbackResponse
		on   policy.FallbackOn
		want codes.Code
		why  string
	}{
		"what statusCode stands for": {policy.FallbackResponse{Status: 401}, policy.FallbackOn{RetriesExhausted: true}, codes.Unauthenticated, ""},
		"what is written":            {policy.FallbackResponse{Status: 401, Headers: written, Body: "x"}, policy.FallbackOn{RetriesExhausted: true}, codes.NotFound, "connect_failure"},
		"not in this case":           {policy.FallbackResponse{Status: 401}, policy.FallbackOn{RateLimited: true}, codes.Unavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, echo), toRPC(fallsBack(tc.give, tc.on)))
			w.dialer.refuse.Store(100)
			code, trailer := unaryCall(t, w.clientRPC(), bound(t))
			if code != tc.want || reasonOf(trailer) != "connect_failure" || strings.Join(trailer.Get("x-why"), "") != tc.why {
				t.Errorf("%v, %v", code, trailer)
			}
			if o := w.seen.lastCall(t).Outcome; o.GRPCStatus != int(tc.want) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// What is passed through has nothing that could be answered.
func TestAPassedConnectionDoesNotFallBack(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(fallsBack(sorry())))
	w.dialer.refuse.Store(100)
	if reached, _ := w.reaches(); reached {
		t.Error("it was not reset")
	}
	if o := w.seen.lastCall(t).Outcome; o.Fallback != call.NoFallback || o.Kind != call.ConnectFailed {
		t.Errorf("%+v", o)
	}
}

// An answer that is parsed as bytes of HTTP/1 is what it says to be.
func TestAFallbackIsHTTPByTheBook(t *testing.T) {
	w := build(t, serve(t, echo), toAny(fallsBack(sorry())))
	w.dialer.refuse.Store(100)
	c := w.dial()
	c.send(aGET)
	line, err := bufio.NewReader(c.r).ReadString('\n')
	if err != nil || line != "HTTP/1.1 203 Non-Authoritative Information\r\n" {
		t.Errorf("got %q, %v", line, err)
	}
}
