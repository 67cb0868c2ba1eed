package proxy

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/telemetry/steps"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// traceNext opens a trace of the next call that a filter wants.
func (w *testProxy) traceNext(f steps.Filter) *steps.Trace {
	w.t.Helper()
	all := steps.New(w.server.Watches(), slog.New(slog.DiscardHandler), func(string) (string, string) { return "ns/pod", "Deployment/web" })
	trace, err := all.Open(f)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(trace.Close)
	return trace
}

// traced returns what a trace has shown to its end.
func traced(t *testing.T, of *steps.Trace) (begin *liveapi.TraceCall, all []*liveapi.TraceStep, end *liveapi.Call) {
	t.Helper()
	over := time.After(patience)
	for {
		select {
		case l, ok := <-of.Lines():
			switch {
			case !ok:
				return begin, all, end
			case l.Begin != nil:
				begin = l.Begin
			case l.Step != nil:
				all = append(all, l.Step)
			case l.End != nil:
				end = l.End
			}
		case <-over:
			t.Fatalf("the trace has not ended: %+v", all)
		}
	}
}

// summary is a step without its times.
func summary(s *liveapi.TraceStep) string {
	out := s.Step
	if s.Attempt > 0 {
		out += " " + string(rune('0'+s.Attempt))
	}
	for _, more := range []string{s.Limit, s.Result, s.Detail} {
		if more != "" {
			out += " " + more
		}
	}
	return out
}

func summaries(all []*liveapi.TraceStep) (out []string) {
	for _, s := range all {
		out = append(out, summary(s))
	}
	return out
}

// retriedSteps are those of a call that is answered by its first retry. Over HTTP/2 an attempt is reported when the call has decided on its end.
func retriedSteps(h2 bool) []string {
	want := []string{
		"begins timeouts.overall", "limit concurrency passes", "limit rateLimit passes", "breaker passes",
		"attempt 1 first", "placed 1 timeouts.perTry", "chosen 1 new", "connected 1", "sent 1", "ended 1 503", "judged 1 503", "decision retry",
		"breaker passes", "attempt 2 retry", "placed 2 timeouts.perTry", "chosen 2 reused", "sent 2", "ended 2 200", "judged 2 200",
		"answer 200", "finished 200",
	}
	if h2 {
		for before, behind := range map[string]string{"ended 1 503": "decision retry", "ended 2 200": "answer 200"} {
			i, j := slices.Index(want, before), slices.Index(want, behind)
			want = slices.Insert(slices.Delete(want, i, i+1), j, before)
		}
	}
	return want
}

// failsOnce answers the first request with 503.
func failsOnce() http.HandlerFunc {
	var n atomic.Int64
	return func(rw http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}

// A retried call is shown step by step, over HTTP/1.1 and over HTTP/2 alike.
func TestEveryStepOfACallIsShown(t *testing.T) {
	for name, tc := range map[string]struct {
		binding policy.Binding
		h2      bool
	}{"HTTP/1.1": {toAny(everything), false}, "HTTP/2": {toAnyH2(everything), true}} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			original := counted(t, &n, func(*http.Request) string {
				if n.Load() == 1 {
					return answer(503, "")
				}
				return answer(200, "fine")
			})
			if tc.h2 {
				original = serveH2(t, failsOnce())
			}
			w := build(t, original, tc.binding)
			trace := w.traceNext(steps.Filter{Namespace: "ns", Pod: "pod", Method: "GET", Path: "/a*", Host: "up.example", Policy: "ns/p"})
			if tc.h2 {
				do(t, w.clientH2(), "GET", "/a?secret=x", "")
			} else if _, err := w.dial().Write([]byte("GET /a?secret=x HTTP/1.1\r\nHost: up.example\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			begin, all, end := traced(t, trace)
			got := summaries(all)
			want := retriedSteps(tc.h2)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if begin == nil || begin.Pod != "ns/pod" || begin.Workload != "Deployment/web" || begin.Path != "/a" || begin.Policy != "ns/p" || begin.Mode != "Enforce" {
				t.Errorf("begins with %+v", begin)
			}
			if end == nil || end.Status != 200 || end.Attempts != 2 || end.Decision != "recovered" || end.Watched {
				t.Errorf("ends with %+v", end)
			}
			for i := 1; i < len(all); i++ {
				if all[i].AfterSeconds < all[i-1].AfterSeconds {
					t.Errorf("%s comes %g after the beginning, and the step before it %g", summary(all[i]), all[i].AfterSeconds, all[i-1].AfterSeconds)
				}
			}
			judged := all[slices.Index(got, "judged 1 503")]
			if *judged.Class != (liveapi.TraceClass{Retryable: true, BreakerFails: true}) {
				t.Errorf("503 was judged as %+v", judged.Class)
			}
			if d := all[slices.Index(got, "decision retry")]; d.MaxRetries != 2 || d.Seconds != d.BackoffSeconds || d.Seconds <= 0 {
				t.Errorf("decided %+v", d)
			}
		})
	}
}

// Why there is no retry is said for each reason.
func TestWhyACallIsNotRetriedIsShown(t *testing.T) {
	for want, tc := range map[string]struct {
		change  func(*policy.Settings)
		request string
	}{
		"decision method":        {retryOn(policy.GatewayError), aPOST},
		"decision not_retryable": {retryOn(policy.Reset), aGET},
		"decision budget": {func(s *policy.Settings) {
			s.Retry.On, s.Retry.Budget = policy.Of(policy.GatewayError), policy.Budget{Percent: 1, Window: 10 * time.Second}
		}, aGET},
		"decision deadline": {func(s *policy.Settings) {
			s.Retry.On, s.Retry.Backoff.Initial, s.Retry.Backoff.Max, s.Timeouts.Overall = policy.Of(policy.GatewayError), time.Hour, time.Hour, time.Minute
			s.Retry.Backoff.Jitter = policy.JitterNone
		}, aGET},
	} {
		t.Run(want, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(503, ""))), toAny(tc.change))
			trace := w.traceNext(steps.Filter{})
			if _, err := w.dial().Write([]byte(tc.request)); err != nil {
				t.Fatal(err)
			}
			_, all, end := traced(t, trace)
			if got := summaries(all); !slices.Contains(got, want) {
				t.Errorf("shown are %s", strings.Join(got, ", "))
			}
			if end.Status != 503 || n.Load() != 1 {
				t.Errorf("answered %+v after %d attempts", end, n.Load())
			}
		})
	}
}

// Only the call that was made for a trace ends it, and is reported as such.
func TestAMarkedCallIsKnownAsOne(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, "fine"))), toAny(nil))
	trace := w.traceNext(steps.Filter{Mark: "m-1"})
	c := w.dial()
	in := make([]byte, len(answer(200, "fine")))
	for _, field := range []string{"", "Fairlead-Trace: m-2\r\n", "Fairlead-Trace: m-1\r\n"} {
		if err := exchangeRaw(c, []byte("GET / HTTP/1.1\r\nHost: a\r\n"+field+"\r\n"), in); err != nil {
			t.Fatal(err)
		}
		if e := w.seen.lastCall(t); e.Watched && field != "Fairlead-Trace: m-1\r\n" {
			t.Errorf("a call with %q is reported as watched", field)
		}
	}
	if _, _, end := traced(t, trace); !end.Watched {
		t.Errorf("ends with %+v", end)
	}
	if e := w.seen.lastCall(t); !e.Watched {
		t.Error("the call is not reported as watched")
	}
}

// While somebody watches another call nothing is allocated for those that do not match.
func TestAnOpenTraceAllocatesNothingForOtherCalls(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	response := answer(200, strings.Repeat("x", 1024))
	w := quietWorld(t, response, toAny(everything))
	w.traceNext(steps.Filter{Path: "/other"})
	c := w.dial()
	request, in := []byte(request1K), make([]byte, len(response))
	for range 100 {
		if err := exchangeRaw(c, request, in); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(200, func() {
		if err := exchangeRaw(c, request, in); err != nil {
			t.Error(err)
		}
	}); n >= 1 {
		t.Errorf("%.1f allocations for each call", n)
	}
}
