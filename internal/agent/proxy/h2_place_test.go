package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// throughNamed is a binding for up.example, through a proxy whose name has to be looked up.
func throughNamed(change func(*policy.Settings)) policy.Binding {
	b := through("up.example", netip.AddrPort{}, change)
	b.To.Via = policy.Via{Host: "proxy.corp.example", Port: 3128}
	return b
}

// besideProxied is a proxy for calls to up.example, which go through a proxy with a name, and to others, which go directly.
func besideProxied(t *testing.T, change func(*policy.Settings)) *testProxy {
	t.Helper()
	server := serveH2(t, saysHost)
	proxy, _ := tunnelling(t, server, connects)
	others := toAnyH2(nil)
	others.Key = "others"
	w := build(t, netip.MustParseAddrPort(dead+":80"), throughNamed(change), others)
	w.dialer.at.Store(w.original, server)
	w.dialer.at.Store(netip.MustParseAddrPort(alive+":3128"), proxy)
	return w
}

// A stream that waits for the DNS keeps none of the others of its connection waiting, and those that wait for the same ask once.
func TestAStreamThatWaitsForANameHoldsUpNoOther(t *testing.T) {
	w := besideProxied(t, nil)
	known := w.names.hold()
	defer known.now()
	w.names.set("proxy.corp.example", alive)
	c := w.dialH2(http2test.Options{})
	var waiting []*http2test.Stream
	for range 3 {
		waiting = append(waiting, must(c.Post("up.example", "/", []byte("hi"), nil))(t))
	}
	for range 2 { // on a new connection, and on one that is there
		if status, _ := statusOf(t, must(c.Get("other.example", "/", nil))(t)); status != "200" {
			t.Fatalf("the other stream got %s", status)
		}
	}
	known.now()
	for _, s := range waiting {
		if status, head := statusOf(t, s); status != "200" {
			t.Errorf("got %v", head)
		}
		if body := must(s.Body())(t); string(body) != "up.example" {
			t.Errorf("answered %q", body)
		}
	}
	if asked := w.names.questions(); len(asked) != 1 {
		t.Errorf("looked up %q", asked)
	}
}

// Whoever gives up while the name is looked up leaves the others waiting.
func TestRule04_AStreamIsGivenUpWhileItsNameIsLookedUp(t *testing.T) {
	w := besideProxied(t, nil)
	known := w.names.hold()
	defer known.now()
	w.names.set("proxy.corp.example", alive)
	c := w.dialH2(http2test.Options{})
	first, second := must(c.Get("up.example", "/", nil))(t), must(c.Get("up.example", "/", nil))(t)
	check(t, first.Reset(http2.ErrCodeCancel))
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone || len(e.Attempts) > 0 {
		t.Errorf("outcome %+v", e.Outcome)
	}
	known.now()
	if status, _ := statusOf(t, second); status != "200" {
		t.Errorf("the other one got %s", status)
	}
}

// A client that leaves ends the look-ups for it: nobody answers this one, and the test would not end.
func TestRule04_ALookUpEndsWithItsClientOverHTTP2(t *testing.T) {
	w := besideProxied(t, nil)
	w.names.stop()
	c := w.dialH2(http2test.Options{})
	must(c.Get("up.example", "/", nil))(t)
	poll(t, func() bool { return len(w.names.questions()) > 0 })
	c.Abort()
	if e := w.seen.lastCall(t); e.Outcome.Kind != call.ClientGone {
		t.Errorf("outcome %+v", e.Outcome)
	}
}

// The call's own time bounds a look-up, with the reason of that, whatever it is for.
func TestRule03_ALookUpForAProxyEndsWithTheCallsTime(t *testing.T) {
	for name, get := range map[string]func(t *testing.T, w *testProxy) (status, reason string){
		"http1": func(_ *testing.T, w *testProxy) (string, string) {
			r, _ := w.dial().get("/")
			return fmt.Sprint(r.StatusCode), r.Header.Get("fairlead-reason")
		},
		"http2": func(t *testing.T, w *testProxy) (string, string) {
			status, head := statusOf(t, must(w.dialH2(http2test.Options{}).Get("up.example", "/", nil))(t))
			return status, head.Get("fairlead-reason")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := besideProxied(t, func(s *policy.Settings) { s.Timeouts.Overall = drive.FirstCheck })
			w.names.stop()
			if status, reason := get(t, w); status != "504" || reason != "deadline" {
				t.Errorf("%s, %s", status, reason)
			}
			if e := w.seen.lastCall(t); e.Detail != routes.DetailOverall {
				t.Errorf("detail %q", e.Detail)
			}
		})
	}
}

// twoAddresses is a proxy for calls to up.example, whose second address answers as a server does, and whose first as its client chose.
func twoAddresses(t *testing.T, first, second http.HandlerFunc, change func(*policy.Settings)) *testProxy {
	t.Helper()
	w := buildNamed(t, serveH2(t, second), toHost("up.example", change))
	w.dialer.at.Store(w.original, serveH2(t, first))
	w.names.set("up.example", dead, alive)
	return w
}

func answers503(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

// After a response too, a retry goes to another address of the name.
func TestRule09_ARetryAfterAResponseGoesToAnotherAddressOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		first  http.HandlerFunc
		change func(*policy.Settings)
		want   int
	}{
		"an error":             {answers503, retryOn(policy.ServerError), 200},
		"a reset":              {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, retryOn(policy.Reset), 200},
		"not another endpoint": {answers503, func(s *policy.Settings) { retryOn(policy.ServerError)(s); s.Retry.AvoidPreviousEndpoints = false }, 503},
	} {
		t.Run(name, func(t *testing.T) {
			w := twoAddresses(t, tc.first, saysHost, tc.change)
			if r, body := do(t, w.clientH2(), "GET", "/", ""); r.StatusCode != tc.want {
				t.Errorf("%d %q", r.StatusCode, body)
			}
			if asked := w.names.questions(); (len(asked) > 0) != (tc.want == 200) {
				t.Errorf("looked up %q", asked)
			}
		})
	}
}

// A look-up that nobody answers costs a retry a moment, and no more.
func TestRule09_ARetryGoesOnWithoutANameOverHTTP2(t *testing.T) {
	var asked sync.Once
	w := twoAddresses(t, func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		asked.Do(func() { status = http.StatusServiceUnavailable })
		w.WriteHeader(status)
	}, saysHost, retryOn(policy.ServerError))
	w.names.stop()
	if r, _ := do(t, w.clientH2(), "GET", "/", ""); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
}

// An address that does not answer costs a stream what it costs a client that knows the name's other addresses (RFC 8305), and those that
// wait for its connection no more.
func TestRule00_AnAddressThatDoesNotAnswerIsOvertakenOverHTTP2(t *testing.T) {
	for name, addr := range map[string]string{"the same family": alive, "the other family": six} {
		t.Run(name, func(t *testing.T) {
			w := buildNamed(t, serveH2(t, saysHost), toHost("up.example", func(s *policy.Settings) {
				s.Retry.MaxRetries, s.Timeouts.Connect = 0, time.Hour
			}))
			w.dialer.silent.Store(w.original, true)
			w.names.set("up.example", dead, addr)
			c := w.dialH2(http2test.Options{})
			var all []*http2test.Stream
			for range 5 {
				all = append(all, must(c.Post("up.example", "/", []byte("hi"), nil))(t))
			}
			for _, s := range all {
				if status, head := statusOf(t, s); status != "200" {
					t.Errorf("got %v", head)
				}
			}
			if peer := w.seen.lastCall(t).Attempts[0].Peer.Addr().String(); peer != addr {
				t.Errorf("served by %s", peer)
			}
			if n := w.dialer.dials.Load(); n != 2 {
				t.Errorf("%d connects", n)
			}
		})
	}
}

// A retry avoids the address that has overtaken the one that was called, too.
func TestRule09_ARetryAvoidsWhereTheAttemptWent(t *testing.T) {
	for name, tc := range map[string]struct {
		bad, good func(t *testing.T) netip.AddrPort
		get       func(t *testing.T, w *testProxy) int
	}{
		"http1": {
			func(t *testing.T) netip.AddrPort {
				return serve(t, func(_ int, p *peer) {
					for _, _, ok := p.request(); ok; _, _, ok = p.request() {
						p.send(answer(503, ""))
					}
				})
			},
			func(t *testing.T) netip.AddrPort { return serve(t, echo) },
			func(_ *testing.T, w *testProxy) int {
				r, _ := w.dial().get("/")
				return r.StatusCode
			},
		},
		"http2": {
			func(t *testing.T) netip.AddrPort { return serveH2(t, answers503) },
			func(t *testing.T) netip.AddrPort { return serveH2(t, saysHost) },
			func(t *testing.T, w *testProxy) int {
				r, _ := do(t, w.clientH2(), "GET", "/", "")
				return r.StatusCode
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := tc.bad(t), tc.good(t)
			w := build(t, netip.MustParseAddrPort(dead+":80"), toHost("up.example", func(s *policy.Settings) {
				retryOn(policy.ServerError)(s)
				s.Retry.MaxRetries, s.Timeouts.Connect = 1, time.Hour
			}))
			w.dialer.silent.Store(w.original, true)
			// The other family comes first, beside the silent one and in its place.
			w.dialer.at.Store(netip.AddrPortFrom(netip.MustParseAddr(six), 80), bad)
			w.dialer.at.Store(netip.MustParseAddrPort(alive+":80"), good)
			w.names.set("up.example", dead, alive, six)
			if status := tc.get(t, w); status != 200 {
				t.Errorf("%d", status)
			}
		})
	}
}

// Where a client is slow and its server cannot be reached but through the proxy, that is no reason to end its connection.
func TestRule32_ASlowClientIsWaitedForWhereThereIsAProxy(t *testing.T) {
	proxy, asked := tunnelling(t, serve(t, echo), connects)
	w := build(t, netip.MustParseAddrPort(dead+":80"), through("up.example", proxy, nil))
	w.dialer.at.Store(w.original, closedAddress(t))
	c := w.dial()
	w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 }) // by who wants to know whether the server speaks first
	if r, body := c.get("/x"); r.StatusCode != 200 || body != "GET /x " {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	if got := asked(); len(got) != 1 {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// Without a proxy, and when the client ends, it is reset as it would be without an agent.
func TestRule32_AClientWhoseServerCannotBeReachedIsReset(t *testing.T) {
	proxy, _ := tunnelling(t, serve(t, echo), connects)
	w := build(t, netip.MustParseAddrPort(dead+":80"), through("up.example", proxy, nil))
	w.dialer.at.Store(w.original, closedAddress(t))
	c := w.dial()
	w.waitFor(t, func() bool { return w.dialer.dials.Load() == 1 })
	check(t, c.CloseWrite())
	if _, err := io.ReadAll(c.TCPConn); err == nil {
		t.Error("the connection ended in good order")
	}
	if n := w.events.passed[PassedOther].Load(); n != 1 {
		t.Errorf("%d were counted", n)
	}
}
