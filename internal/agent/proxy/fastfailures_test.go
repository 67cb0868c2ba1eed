package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	rpcstatus "google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/policy"
)

// busyAndRefusing are two endpoints: one that has calls under way and answers the others at once, and one that refuses every call at once.
type busyAndRefusing struct {
	serves, refuses netip.AddrPort
	served, refused atomic.Int64
	held            *barrier
}

// heldCalls is how many calls are under way.
const heldCalls = 4

// answer has one of the calls that are under way wait.
func (e *busyAndRefusing) answer() {
	if e.served.Add(1) <= heldCalls {
		<-e.held.C
	}
}

// shop has calls go to the one that serves, or to both.
func (e *busyAndRefusing) shop(w *testProxy, protocol policy.Protocol, endpoints ...netip.AddrPort) {
	w.t.Helper()
	w.shopOf(protocol, func(s *policy.Settings) { s.LoadBalancing, s.Retry.MaxRetries = policy.LeastRequest, 0 }, endpoints...)
}

// build starts a proxy through which calls go to the one that serves.
func (e *busyAndRefusing) build(t *testing.T, protocol policy.Protocol) *testProxy {
	t.Helper()
	w := build(t, e.serves)
	e.shop(w, protocol, e.serves)
	return w
}

// check has calls be made, each of which is begun by hold or made as a whole by ask, and compares how many the endpoints have got. One that goes by
// the calls that are under way alone sends all of them to the one that refuses.
func (e *busyAndRefusing) check(w *testProxy, protocol policy.Protocol, hold, ask func()) {
	w.t.Helper()
	defer e.held.now()
	for range heldCalls {
		hold()
	}
	poll(w.t, func() bool { return e.served.Load() == heldCalls })
	e.shop(w, protocol, e.serves, e.refuses)
	const calls = 60
	for range calls {
		ask()
	}
	served, refused := e.served.Load()-heldCalls, e.refused.Load()
	if served+refused != calls || refused == 0 || refused > calls/2 {
		w.t.Errorf("of %d calls %d came to the endpoint that serves and %d to the one that refuses", calls, served, refused)
	}
}

// An endpoint that answers 429 at once is the least busy one, and gets few calls all the same.
func TestAnEndpointThatRefusesAtOnceGetsFewCalls(t *testing.T) {
	e := &busyAndRefusing{held: newBarrier()}
	e.refuses = counted(t, &e.refused, always(answer(429, "")))
	var arrived atomic.Int64
	e.serves = counted(t, &arrived, func(*http.Request) string { e.answer(); return answer(200, "") })
	w := e.build(t, policy.ProtocolHTTP)
	c := w.dial()
	e.check(w, policy.ProtocolHTTP, func() { w.dial().send(aGET) }, func() { c.get("/") })
}

func TestAnEndpointThatRefusesAtOnceGetsFewCallsOverHTTP2(t *testing.T) {
	e, refused := &busyAndRefusing{held: newBarrier()}, make([]atomic.Int64, 1)
	e.refuses = countedH2(t, refused, 429)[0]
	e.serves = http2test.NewServer(t, http2test.Script{Stream: func(s *http2test.Stream) {
		e.answer()
		_ = s.Respond(200, nil, nil)
	}}).Addr()
	w := e.build(t, policy.ProtocolHTTP2)
	c := w.dialH2(http2test.Options{})
	e.check(w, policy.ProtocolHTTP2, func() { must(c.Get("up.example", "/", nil))(t) }, func() {
		getH2(t, c, "/")
		e.refused.Store(refused[0].Load())
	})
}

func TestAnEndpointThatRefusesAtOnceGetsFewGRPCCalls(t *testing.T) {
	e := &busyAndRefusing{held: newBarrier()}
	e.refuses = serveRPC(t, unaryServer(func(context.Context, int) error {
		e.refused.Add(1)
		return rpcstatus.Error(codes.ResourceExhausted, "")
	}))
	e.serves = serveRPC(t, unaryServer(func(context.Context, int) error { e.answer(); return nil }))
	w := e.build(t, policy.ProtocolGRPC)
	c, ended := w.clientRPC(), make(chan struct{}, heldCalls)
	hold := func() {
		go func() {
			unaryCall(t, c, bound(t))
			ended <- struct{}{}
		}()
	}
	e.check(w, policy.ProtocolGRPC, hold, func() { unaryCall(t, c, bound(t)) })
	for range heldCalls {
		<-ended
	}
}
