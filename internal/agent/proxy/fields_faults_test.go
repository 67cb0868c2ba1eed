package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// meets has every attempt meet a fault for an hour, unless that says otherwise.
func meets(f policy.Faults, more ...func(*policy.Settings)) func(*policy.Settings) {
	return func(s *policy.Settings) {
		own := f
		if own.Percent == 0 {
			own.Percent = 100
		}
		if own.Until == 0 {
			own.Until = time.Now().Add(time.Hour).Unix()
		}
		s.Faults = &own
		s.Retry.MaxRetries = 1
		s.Retry.On = policy.Of(policy.ResetBeforeRequest, policy.ServerError, policy.PerTryTimeout)
		for _, change := range more {
			change(s)
		}
	}
}

// perTry bounds attempts.
func perTry(d time.Duration) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Timeouts.PerTry = d }
}

// farOff is a delay that no test waits for.
const farOff = 5 * time.Minute

// faultCase is a fault that every attempt of a call meets, and what becomes of the call.
type faultCase struct {
	set      func(*policy.Settings)
	status   int
	reason   string
	attempts int
	counts   call.FaultCounts
	arrive   int64 // at the server
}

func faultCases() map[string]faultCase {
	past := time.Now().Add(-time.Second).Unix()
	return map[string]faultCase{
		"an answer": {
			meets(policy.Faults{Abort: policy.FaultResponse, Status: 509, GRPCStatus: 14}), 509, "fault_injected", 2, call.FaultCounts{Responses: 2}, 0,
		},
		"an answer that is no failure": {
			meets(policy.Faults{Abort: policy.FaultResponse, Status: 404, GRPCStatus: 12}), 404, "fault_injected", 1, call.FaultCounts{Responses: 1}, 0,
		},
		"a reset": {meets(policy.Faults{Abort: policy.FaultReset}), 502, "fault_injected", 2, call.FaultCounts{Resets: 2}, 0},
		"a delay": {meets(policy.Faults{Delay: farOff}, perTry(20*time.Millisecond)), 504, "per_try_timeout", 2, call.FaultCounts{Delays: 2}, 0},
		"a delay, and then a reset": {
			meets(policy.Faults{Delay: time.Millisecond, Abort: policy.FaultReset}), 502, "fault_injected", 2, call.FaultCounts{Delays: 2, Resets: 2}, 0,
		},
		"a delay, and then it goes on": {meets(policy.Faults{Delay: time.Millisecond}), 200, "", 1, call.FaultCounts{Delays: 1}, 1},
		"none, since its time is over": {meets(policy.Faults{Until: past, Abort: policy.FaultReset}), 200, "", 1, call.FaultCounts{}, 1},
	}
}

// became checks what a call has become of.
func (tc *faultCase) became(t *testing.T, w *testProxy, status int, reason string, arrived int64) {
	t.Helper()
	if status != tc.status || reason != tc.reason || arrived != tc.arrive {
		t.Errorf("got %d %q, and %d attempts have arrived; want %d %q, %d", status, reason, arrived, tc.status, tc.reason, tc.arrive)
	}
	e := w.seen.lastCall(t)
	if o := e.Outcome; o.Faults != tc.counts || o.Attempts != tc.attempts || len(e.Attempts) != tc.attempts {
		t.Errorf("outcome %+v, attempts %+v", o, e.Attempts)
	}
	if last := e.Attempts[len(e.Attempts)-1]; (last.Kind == call.Injected) != (tc.reason == "fault_injected") || last.Kind == call.Injected && last.Detail != routes.DetailFault {
		t.Errorf("the last attempt is %+v", last)
	}
}

//enforces:http1 faults.until faults.delay.duration faults.abort.type faults.abort.statusCode
func TestFaultsStandInForAttempts(t *testing.T) {
	for name, tc := range faultCases() {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(200, ""))), toAny(tc.set))
			c := w.dial()
			res, body := c.get("/")
			tc.became(t, w, res.StatusCode, res.Header.Get("fairlead-reason"), n.Load())
			if tc.reason == "fault_injected" && body != "fairlead: fault_injected\n" {
				t.Errorf("body %q", body)
			}
		})
	}
}

//enforces:http2 faults.until faults.delay.duration faults.abort.type faults.abort.statusCode
func TestFaultsStandInForAttemptsOverHTTP2(t *testing.T) {
	for name, tc := range faultCases() {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := answering(t, &n, toAnyH2(tc.set), statusFor)
			res, _ := do(t, w.clientH2(), http.MethodGet, "/", "")
			tc.became(t, w, res.StatusCode, res.Header.Get("fairlead-reason"), n.Load())
		})
	}
}

// served is a server of gRPC that answers every call.
func served() *rpcServer { return unaryServer(func(context.Context, int) error { return nil }) }

//enforces:grpc faults.until faults.percent faults.delay.duration faults.abort.type faults.abort.grpcStatus faults.abort.statusCode
func TestFaultsStandInForAttemptsOfGRPCCalls(t *testing.T) {
	retries := retryStatuses(policy.GRPCStatus(codes.ResourceExhausted))
	for name, tc := range map[string]struct {
		set    func(*policy.Settings)
		want   codes.Code
		reason string
		faults call.FaultCounts
	}{
		"a status": {
			meets(policy.Faults{Abort: policy.FaultResponse, Status: 503, GRPCStatus: 8}, retries), codes.ResourceExhausted, "fault_injected", call.FaultCounts{Responses: 2},
		},
		"what a status of HTTP stands for": { // as the manager has it
			meets(policy.Faults{Abort: policy.FaultResponse, Status: 404, GRPCStatus: policy.GRPCStatusOfHTTP(404)}), codes.Unimplemented, "fault_injected",
			call.FaultCounts{Responses: 1},
		},
		"a reset": {meets(policy.Faults{Abort: policy.FaultReset}), codes.Unavailable, "fault_injected", call.FaultCounts{Resets: 2}},
		"a delay": {meets(policy.Faults{Delay: farOff}, perTry(20*time.Millisecond)), codes.DeadlineExceeded, "per_try_timeout", call.FaultCounts{Delays: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			s := served()
			w := build(t, serveRPC(t, s), toRPC(tc.set))
			code, trailer := unaryCall(t, w.clientRPC(), bound(t))
			if code != tc.want || reasonOf(trailer) != tc.reason || s.calls.Load() != 0 {
				t.Errorf("got %v %q, %d have arrived", code, reasonOf(trailer), s.calls.Load())
			}
			if o := w.seen.lastCall(t).Outcome; o.Faults != tc.faults {
				t.Errorf("%+v", o)
			}
		})
	}
}

//enforces:opaque faults.until faults.percent faults.delay.duration faults.abort.type
func TestFaultsStandInForConnecting(t *testing.T) {
	for name, tc := range map[string]struct {
		set     func(*policy.Settings)
		reached bool
		dials   int64
		faults  call.FaultCounts
	}{
		"a reset":                      {meets(policy.Faults{Abort: policy.FaultReset}), false, 0, call.FaultCounts{Resets: 2}},
		"a delay":                      {meets(policy.Faults{Delay: farOff}, perTry(20*time.Millisecond)), false, 0, call.FaultCounts{Delays: 2}},
		"a delay, and then it goes on": {meets(policy.Faults{Delay: time.Millisecond}), true, 1, call.FaultCounts{Delays: 1}},
		"an answer, which there is none to": {
			meets(policy.Faults{Abort: policy.FaultResponse, Status: 503}), true, 1, call.FaultCounts{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, copying), declaredTCP(tc.set))
			if reached, dials := w.reaches(); reached != tc.reached || dials != tc.dials {
				t.Errorf("reached %v, %d connections", reached, dials)
			}
			if o := w.seen.lastCall(t).Outcome; o.Faults != tc.faults {
				t.Errorf("%+v", o)
			}
		})
	}
}

// A server that speaks first has been connected to before the call begins: that connection is not used, and closed, where a fault stands in for it.
func TestFaultsStandInForAConnectionThatIsThere(t *testing.T) {
	closed := make(chan struct{}, 2)
	b := toAny(meets(policy.Faults{Abort: policy.FaultReset}))
	b.To.Protocol = policy.ProtocolAuto
	w := build(t, serve(t, func(_ int, p *peer) {
		p.send("hello")
		_, _ = p.r.ReadByte()
		closed <- struct{}{}
	}), b)
	c := w.dial()
	if _, err := c.r.ReadByte(); err == nil {
		t.Fatal("something comes")
	}
	<-closed
	if o := w.seen.lastCall(t).Outcome; o.Faults.Resets == 0 {
		t.Errorf("%+v", o)
	}
}

// share makes calls of which half of the attempts meet a reset, and checks that the others arrive, and are about as many.
func share(t *testing.T, get func() (ok bool), arrived *atomic.Int64) {
	t.Helper()
	const n = 200
	served := 0
	for range n {
		if get() {
			served++
		}
	}
	if int64(served) != arrived.Load() || served < n/4 || served > 3*n/4 {
		t.Errorf("%d of %d calls are served, %d have arrived", served, n, arrived.Load())
	}
}

// half has half of the attempts reset, and none repeated.
func half(s *policy.Settings) {
	meets(policy.Faults{Percent: 50, Abort: policy.FaultReset})(s)
	s.Retry.MaxRetries = 0
}

//enforces:http1 faults.percent
func TestAShareOfAttemptsMeetsFaults(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(half))
	c := w.dial()
	share(t, func() bool { res, _ := c.get("/"); return res.StatusCode == 200 }, &n)
}

//enforces:http2 faults.percent
func TestAShareOfAttemptsMeetsFaultsOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(half), statusFor)
	c := w.dialH2(http2test.Options{})
	share(t, func() bool { return getH2(t, c, "/").Get(":status") == "200" }, &n)
}

// spread has attempts be held up for less than is written, as jitter can have it alone.
func spread(t *testing.T, get func() time.Duration) {
	t.Helper()
	for range 50 {
		if get() < spreadDelay {
			return
		}
	}
	t.Error("none is held up for less than the delay")
}

const spreadDelay = 40 * time.Millisecond

func spreading(s *policy.Settings) { meets(policy.Faults{Delay: spreadDelay, JitterPercent: 100})(s) }

//enforces:http1 faults.delay.jitterPercent
func TestDelaysAreSpread(t *testing.T) {
	w := build(t, serve(t, echo), toAny(spreading))
	c := w.dial()
	spread(t, func() time.Duration { c.get("/"); return w.seen.lastCall(t).Outcome.Took })
}

//enforces:http2 faults.delay.jitterPercent
func TestDelaysAreSpreadOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(spreading), statusFor)
	c := w.dialH2(http2test.Options{})
	spread(t, func() time.Duration { getH2(t, c, "/"); return w.seen.lastCall(t).Outcome.Took })
}

//enforces:grpc faults.delay.jitterPercent
func TestDelaysOfGRPCCallsAreSpread(t *testing.T) {
	w := build(t, serveRPC(t, served()), toRPC(spreading))
	c := w.clientRPC()
	spread(t, func() time.Duration { unaryCall(t, c, bound(t)); return w.seen.lastCall(t).Outcome.Took })
}

//enforces:opaque faults.delay.jitterPercent
func TestDelaysOfConnectingAreSpread(t *testing.T) {
	w := build(t, serve(t, copying), declaredTCP(spreading))
	spread(t, func() time.Duration { w.reaches(); return w.seen.lastCall(t).Outcome.Took })
}

// An attempt that is held up gets another beside it, which answers the call.
func heldUpAndHedged(s *policy.Settings) {
	meets(policy.Faults{Percent: 50, Delay: farOff}, hedges(policy.Hedging{Max: 3, Delay: 2 * time.Millisecond}))(s)
	s.Timeouts.Overall = 200 * time.Millisecond // else those whose attempts are all held up last for long
}

// wins makes calls until one is answered by a hedge beside an attempt that is held up.
func wins(t *testing.T, w *testProxy, get func()) {
	t.Helper()
	for range 100 {
		get()
		if o := w.seen.lastCall(t).Outcome; o.HedgeWon && o.Faults.Delays > 0 && o.Kind == call.OK {
			return
		}
	}
	t.Error("no hedge answers a call whose attempt is held up")
}

func TestAttemptsThatAreHeldUpAreHedged(t *testing.T) {
	w := build(t, serve(t, echo), toAny(heldUpAndHedged))
	wins(t, w, func() {
		c := w.dial()
		defer c.Close()
		c.get("/")
	})
}

func TestAttemptsThatAreHeldUpAreHedgedOverHTTP2(t *testing.T) {
	var n atomic.Int64
	w := answering(t, &n, toAnyH2(heldUpAndHedged), statusFor)
	wins(t, w, func() { getH2(t, w.dialH2(http2test.Options{}), "/") }) // a call that ends by its deadline ends its connection
}

// storm has attempts be held up, aborted, hedged and retried at random, by several clients at once: every call is answered, and what arrives is what was sent.
func storm(t *testing.T, arrived *atomic.Int64, get func() func() int) {
	t.Helper()
	var clients sync.WaitGroup
	const each, all = 60, 4
	for range all {
		one := get()
		clients.Go(func() {
			for range each {
				if status := one(); status != 200 && status != 503 && status != 502 && status != 504 {
					t.Errorf("got %d", status)
				}
			}
		})
	}
	clients.Wait()
	if n := arrived.Load(); n < each*all/4 {
		t.Errorf("%d attempts have arrived", n)
	}
}

func stormy(abort policy.FaultAbort) func(*policy.Settings) {
	return meets(policy.Faults{Percent: 50, Delay: 4 * time.Millisecond, JitterPercent: 100, Abort: abort, Status: 503, GRPCStatus: 14},
		hedges(policy.Hedging{Max: 2, Delay: time.Millisecond}), func(s *policy.Settings) { s.Timeouts.PerTry = 5 * time.Millisecond })
}

func TestFaultsInAStorm(t *testing.T) {
	for name, abort := range map[string]policy.FaultAbort{"delays": policy.NoFaultAbort, "answers": policy.FaultResponse, "resets": policy.FaultReset} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(200, ""))), toAny(stormy(abort)))
			storm(t, &n, func() func() int {
				h := &http.Client{Transport: &http.Transport{DialContext: w.dialing}, Timeout: patience}
				t.Cleanup(h.CloseIdleConnections)
				return func() int { res, _ := do(t, h, http.MethodGet, "/", ""); return res.StatusCode }
			})
		})
	}
}

func TestFaultsInAStormOverHTTP2(t *testing.T) {
	for name, abort := range map[string]policy.FaultAbort{"delays": policy.NoFaultAbort, "answers": policy.FaultResponse, "resets": policy.FaultReset} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := answering(t, &n, toAnyH2(stormy(abort)), statusFor)
			h := w.clientH2()
			storm(t, &n, func() func() int {
				return func() int { res, _ := do(t, h, http.MethodGet, "/", ""); return res.StatusCode }
			})
		})
	}
}
