package proxy

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/policy"
)

// backedUp has calls fall back on another destination, in all cases or in some.
func backedUp(to policy.Target, on ...policy.FallbackOn) func(*policy.Settings) {
	change := fallsBack(policy.FallbackResponse{}, on...)
	return func(s *policy.Settings) {
		change(s)
		s.Fallback.Response, s.Fallback.Destination = nil, &to
	}
}

// elsewhere is the host of a server, whose name is apiHost.
func elsewhere(at netip.AddrPort) policy.Target {
	return policy.Target{Kind: policy.TargetHost, Host: apiHost, Ports: []uint16{at.Port()}}
}

// authorityAt is what requests that fall back there name as their host.
func authorityAt(at netip.AddrPort) string { return apiHost + ":" + strconv.Itoa(int(at.Port())) }

// fallen checks that a call was answered by what it has fallen back on.
func (w *testProxy) fallen(attempts int) {
	w.t.Helper()
	o := w.seen.lastCall(w.t).Outcome
	if o.Fallback != call.FellBackOnDestination || o.Kind != call.OK || o.Decision != call.Recovered || o.Attempts != attempts {
		w.t.Errorf("outcome %+v, want %d attempts", o, attempts)
	}
}

// taking is a server that answers with the body of each request, or with its target, and counts those for a host.
func taking(t *testing.T, n *atomic.Int64) netip.AddrPort {
	t.Helper()
	var own netip.AddrPort
	at := serve(t, func(_ int, p *peer) {
		for {
			q, body, ok := p.request()
			if !ok {
				return
			}
			if n.Add(1); q.Host != authorityAt(own) {
				t.Errorf("it is asked for %s", q.Host)
			}
			p.ok(q.Method + " " + q.RequestURI + " " + body)
		}
	})
	own = at
	return at
}

//enforces:http1 fallback.destination.host fallback.destination.port
func TestACallFallsBackOnAnotherHost(t *testing.T) {
	const put = "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
	for name, tc := range map[string]struct {
		request string
		refuse  int64
		first   int64  // requests at the call's own destination
		want    string // what the other one answers; empty: it is not asked
		status  int    // otherwise
	}{
		"a failed response":             {request: aGET, first: 1, want: "GET / "},
		"no connection":                 {request: aGET, refuse: 1, want: "GET / "},
		"with its body once more":       {request: put, first: 1, want: "PUT /x hi"},
		"what has not arrived":          {request: aPOST, refuse: 1, want: "POST / hi"},
		"never what may have been done": {request: aPOST, first: 1, status: 503},
		"an absolute target":            {request: strings.Replace(aGET, "GET /", "GET http://a/y", 1), first: 1, want: "GET http://HOST/y "},
	} {
		t.Run(name, func(t *testing.T) {
			var first, other atomic.Int64
			at := taking(t, &other)
			w := build(t, counted(t, &first, always(answer(503, "busy"))), toAny(backedUp(elsewhere(at))))
			w.names.set(apiHost, "127.0.0.1")
			w.dialer.refuse.Store(tc.refuse)
			c := w.dial()
			c.send(tc.request)
			res, body := c.response("GET")
			if first.Load() != tc.first {
				t.Errorf("%d requests have come to the call's own destination, want %d", first.Load(), tc.first)
			}
			if tc.want == "" {
				if res.StatusCode != tc.status || other.Load() != 0 {
					t.Errorf("got %d, and %d requests have come to the other one", res.StatusCode, other.Load())
				}
				return
			}
			if res.StatusCode != 200 || body != strings.Replace(tc.want, "HOST", authorityAt(at), 1) || other.Load() != 1 {
				t.Errorf("got %d %q, and %d requests have come to the other one", res.StatusCode, body, other.Load())
			}
			attempts := int(tc.first)
			if tc.refuse > 0 {
				attempts++
			}
			w.fallen(attempts + 1)
		})
	}
}

// backup makes a Service in addition to what there is, and returns it as what calls fall back on.
func (w *testProxy) backup(port uint16, endpoints ...netip.AddrPort) policy.Target {
	w.t.Helper()
	w.services = map[string]*policy.Destination{"other/backup": {
		Name: "other/backup", ClusterIPs: []netip.Addr{netip.MustParseAddr("198.51.100.1")},
		Ports: []policy.DestinationPort{{Port: port, Endpoints: policy.Ready(endpoints...)}},
	}}
	return policy.Target{Kind: policy.TargetService, Service: "other/backup", Ports: []uint16{port}}
}

// A Service is called at its endpoints, in the clear, and as the client has named its host.
//
//enforces:http1 fallback.destination.service.name fallback.destination.service.port
func TestACallFallsBackOnAService(t *testing.T) {
	var first, other atomic.Int64
	at := serveClear(t, func(_ int, p *peer) {
		for {
			q, _, ok := p.request()
			if !ok {
				return
			}
			other.Add(1)
			p.ok(q.Host)
		}
	})
	w := build(t, counted(t, &first, always(answer(503, "busy"))))
	w.install(toAny(backedUp(w.backup(8081, at))))
	c := w.dial()
	for range 2 { // the second on the same connections
		c.send("GET / HTTP/1.1\r\nHost: up.example\r\n\r\n")
		if res, body := c.response("GET"); res.StatusCode != 200 || body != "up.example" {
			t.Errorf("got %d %q", res.StatusCode, body)
		}
		w.fallen(2)
	}
	if first.Load() != 2 || other.Load() != 2 || w.dialer.dials.Load() != 2 {
		t.Errorf("%d and %d requests, %d connections", first.Load(), other.Load(), w.dialer.dials.Load())
	}
}

// Without a port it is the one that was called; a Service that has no such port is nothing to fall back on.
func TestACallFallsBackOnTheSamePort(t *testing.T) {
	for name, there := range map[string]bool{"which there is": true, "which there is not": false} {
		t.Run(name, func(t *testing.T) {
			var first, other atomic.Int64
			w := build(t, counted(t, &first, always(answer(503, "busy"))))
			port := w.original.Port()
			if !there {
				port++
			}
			to := w.backup(port, serveClear(t, func(_ int, p *peer) {
				p.request()
				other.Add(1)
				p.ok("")
			}))
			to.Ports = nil
			w.install(toAny(backedUp(to)))
			want := map[bool]int{true: 200, false: 503}[there]
			if res, _ := w.dial().get("/"); res.StatusCode != want || (other.Load() == 1) != there {
				t.Errorf("got %d, and %d requests have come", res.StatusCode, other.Load())
			}
		})
	}
}

// What the other destination cannot do either ends with what the call's own has answered.
func TestACallWhoseFallbackFailsToo(t *testing.T) {
	for name, tc := range map[string]struct {
		known  bool
		answer string // of the other destination; empty: it refuses connections
		want   int
		cause  call.Kind
	}{
		"it is not found":         {want: 503, cause: call.DNSFailed},
		"it cannot be reached":    {known: true, want: 503, cause: call.ConnectFailed},
		"it has a worse response": {known: true, answer: answer(502, "worse"), want: 502, cause: call.OK},
	} {
		t.Run(name, func(t *testing.T) {
			at := netip.MustParseAddrPort("127.0.0.1:1")
			var n atomic.Int64
			if tc.answer != "" {
				at = counted(t, &n, always(tc.answer))
			}
			w := build(t, serve(t, func(_ int, p *peer) {
				p.request()
				p.send(answer(503, "busy"))
			}), toAny(backedUp(elsewhere(at))))
			if tc.known {
				w.names.set(apiHost, "127.0.0.1")
			}
			if res, _ := w.dial().get("/"); res.StatusCode != tc.want {
				t.Errorf("got %d", res.StatusCode)
			}
			if o := w.seen.lastCall(t).Outcome; o.Cause != tc.cause || o.Decision <= call.Recovered || o.Attempts != 2 {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// The other destination has a breaker of its own: while it is open nothing falls back there, and what opens the one says nothing of the other.
func TestAFallbackHasABreakerOfItsOwn(t *testing.T) {
	var first, other atomic.Int64
	at := counted(t, &other, always(answer(500, "")))
	change := backedUp(elsewhere(at))
	w := build(t, counted(t, &first, always(answer(503, "busy"))), toAny(func(s *policy.Settings) {
		change(s)
		guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 2 })(s)
	}))
	w.names.set(apiHost, "127.0.0.1")
	c := w.dial()
	for i, want := range []int{500, 500, 503, 503} { // two attempts open each, then both are open
		if res, _ := c.get("/"); res.StatusCode != want {
			t.Errorf("call %d is answered %d, want %d", i, res.StatusCode, want)
		}
	}
	if first.Load() != 2 || other.Load() != 2 {
		t.Errorf("%d and %d requests have come", first.Load(), other.Load())
	}
	if o := w.seen.lastCall(t).Outcome; o.Kind != call.BreakerOpen || o.Fallback != call.NoFallback {
		t.Errorf("outcome %+v", o)
	}
}

// Calls that nothing was sent of fall back whatever their methods are.
func TestACallThatIsRejectedFallsBack(t *testing.T) {
	limited := func(s *policy.Settings) { s.RateLimit = &policy.RateLimit{Requests: 1, Burst: 1, Per: time.Hour} }
	open := guarded(func(b *policy.Breaker) { b.ConsecutiveFailures = 1 })
	for name, tc := range map[string]struct {
		reject func(*policy.Settings)
		on     policy.FallbackOn
	}{
		"above the rate":  {limited, policy.FallbackOn{RateLimited: true}},
		"an open breaker": {open, policy.FallbackOn{CircuitOpen: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var first, other atomic.Int64
			at := taking(t, &other)
			change := backedUp(elsewhere(at), tc.on)
			w := build(t, counted(t, &first, always(answer(503, "busy"))), toAny(func(s *policy.Settings) { change(s); tc.reject(s) }))
			w.names.set(apiHost, "127.0.0.1")
			c := w.dial()
			for i, want := range []int{503, 200, 200} {
				c.send(aPOST)
				if res, body := c.response("POST"); res.StatusCode != want || i > 0 && body != "POST / hi" {
					t.Errorf("call %d: %d %q", i, res.StatusCode, body)
				}
			}
			if first.Load() != 1 || other.Load() != 2 {
				t.Errorf("%d and %d requests have come", first.Load(), other.Load())
			}
			w.fallen(1)
		})
	}
}

// A connection that is passed through falls back when it cannot be made, and speaks to the other server as it would have to its own.
//
//enforces:opaque fallback.when fallback.destination.service.name fallback.destination.service.port
//enforces:opaque fallback.destination.host fallback.destination.port
func TestAPassedConnectionFallsBackOnAnotherDestination(t *testing.T) {
	at := serveClear(t, copying)
	for name, tc := range map[string]struct {
		to func(*testProxy) policy.Target
		on policy.FallbackOn
	}{
		"a Service":          {func(w *testProxy) policy.Target { return w.backup(8081, at) }, policy.FallbackOn{RetriesExhausted: true}},
		"a host":             {func(*testProxy) policy.Target { return elsewhere(at) }, policy.FallbackOn{RetriesExhausted: true}},
		"not for other ends": {func(*testProxy) policy.Target { return elsewhere(at) }, policy.FallbackOn{RateLimited: true}},
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serveClear(t, func(int, *peer) {}))
			w.names.set(apiHost, "127.0.0.1")
			w.install(declaredTCP(backedUp(tc.to(w), tc.on)))
			w.dialer.refuse.Store(1)
			if reached, _ := w.reaches(); reached != tc.on.RetriesExhausted {
				t.Errorf("reached: %v", reached)
			}
			if tc.on.RetriesExhausted {
				w.fallen(2)
			}
		})
	}
}

// An edit of what calls fall back on holds from the next call on.
func TestWhatCallsFallBackOnIsEdited(t *testing.T) {
	w := build(t, serve(t, toEach(func(p *peer) { p.send(answer(503, "busy")) })))
	says := func(what string) netip.AddrPort {
		return serveClear(t, func(_ int, p *peer) {
			for {
				if _, _, ok := p.request(); !ok {
					return
				}
				p.ok(what)
			}
		})
	}
	var c *client
	for _, what := range []string{"first", "second"} {
		w.install(toAny(backedUp(w.backup(8081, says(what)))))
		if c == nil {
			c = w.dial()
		}
		if _, body := c.get("/"); body != what {
			t.Errorf("got %q, want %q", body, what)
		}
	}
	w.install(toAny(nil))
	if res, _ := c.get("/"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d", res.StatusCode)
	}
}
