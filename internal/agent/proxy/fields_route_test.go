package proxy

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// ruled is a binding with a rule that tries calls thrice instead of twice.
func ruled() policy.Binding {
	b := toAny(func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError), 1 })
	thrice := b.Base
	thrice.Retry.MaxRetries = 2
	b.Rules = []policy.Rule{{Name: "thrice", Settings: thrice, Match: []policy.RequestMatch{
		{Methods: []string{"GET"}, PathType: policy.PathExact, Path: "/exact"},
		{Methods: []string{"PUT"}},
	}}}
	return b
}

// ruledCalls are calls under ruled, and the rule that each is governed by.
var ruledCalls = map[string]string{
	"GET /exact": "thrice", "GET /exact?q": "thrice", "PUT /any": "thrice",
	"GET /exact/below": "", "GET /other": "", "DELETE /exact": "",
}

// Which rule a call is governed by shows in how often it is tried, and in what is reported of it.
//
//enforces:http1 rules[].name rules[].match[].methods rules[].match[].path.type rules[].match[].path.value
func TestCallsFindTheirRule(t *testing.T) {
	for request, rule := range ruledCalls {
		t.Run(request, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(503, ""))), ruled())
			c := w.dial()
			c.send(request + " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			c.response("GET")
			want := int64(2)
			if rule != "" {
				want = 3
			}
			if n.Load() != want {
				t.Errorf("%d attempts, want %d", n.Load(), want)
			}
			if got := w.seen.lastCall(t).Rule; got != rule {
				t.Errorf("reported under rule %q, want %q", got, rule)
			}
		})
	}
}

// Where HTTP is declared nothing else passes; found out, it does.
//
//enforces:http1 to[].protocol
//notover:intercept what is inside TLS is agreed on before
func TestWhatIsNoHTTPIsRefusedWhereItIsDeclared(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), toAny(nil))
	c := w.dial()
	c.send("HELLO there\r\n\r\n")
	if res, _ := c.response("GET"); res.StatusCode != 400 {
		t.Errorf("got %d", res.StatusCode)
	}
	if n := w.dialer.dials.Load(); n != 0 {
		t.Errorf("%d connections to the server", n)
	}
}

// Where TCP is declared requests pass as they are, and their calls are none of the policy's.
//
//enforces:opaque to[].protocol
func TestRequestsPassWhereTCPIsDeclared(t *testing.T) {
	b := toAny(nil)
	b.To.Protocol = policy.ProtocolTCP
	passesAsItIs(t, b, "GET / HTTP/1.1\r\nHost: a\r\nConnection: X\r\nX: 1\r\n\r\n", PassedDeclared)
}

// TLS passes as it is, whatever else the policy says.
//
//enforces:agent to[].tls.mode
func TestTLSPassesAsItIs(t *testing.T) {
	passesAsItIs(t, undeclared(retryOn(policy.Reset)), "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00 GET / HTTP/1.1\r\n\r\n", PassedTLS)
}

// passesAsItIs sends something under a policy, and checks that the server gets just that.
func passesAsItIs(t *testing.T, b policy.Binding, sent string, why Passed) {
	t.Helper()
	got := make(chan string, 1)
	w := build(t, serve(t, func(_ int, p *peer) {
		all := make([]byte, len(sent))
		_, _ = io.ReadFull(p.r, all)
		got <- string(all)
	}), b)
	c := w.dial()
	c.send(sent)
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c.r) // until the server has all, and has closed
	select {
	case g := <-got:
		if g != sent {
			t.Errorf("the server got %q", g)
		}
	default:
		t.Error("the server got nothing")
	}
	if n := w.events.passed[why].Load(); n != 1 {
		t.Errorf("%d connections are reported as passed", n)
	}
}

// Connecting is given up when it takes longer than is written, though it would come about.
//
//enforces:http1 timeouts.connect
func TestACallsConnectingTakesNoLongerThanWritten(t *testing.T) {
	t.Parallel() // it waits
	connectLate(t, policy.ProtocolHTTP)
}

// The same holds for a connection that is passed through.
//
//enforces:opaque timeouts.connect
func TestConnectingThroughTakesNoLongerThanWritten(t *testing.T) {
	t.Parallel() // it waits
	connectLate(t, policy.ProtocolTCP)
}

func connectLate(t *testing.T, protocol policy.Protocol) {
	b := toAny(func(s *policy.Settings) { s.Timeouts.Connect, s.Retry.MaxRetries = 50*time.Millisecond, 0 })
	b.To.Protocol = protocol
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, "it came about"))), b)
	w.dialer.slow.Store(int64(2 * time.Second))
	c := w.dial()
	get(c)
	_, _ = io.Copy(io.Discard, io.LimitReader(c.r, 1)) // an answer, or the end
	if n.Load() != 0 {
		t.Error("a request arrived over a connection that came too late")
	}
}
