package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// everything switches on all that a policy can say of HTTP/1.
func everything(s *policy.Settings) {
	s.Timeouts.PerTry, s.Timeouts.Overall = 2*time.Second, 10*time.Second
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.ResetBeforeRequest, policy.Reset, policy.GatewayError, policy.PerTryTimeout)
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1000
	b.ErrorRate = &policy.ErrorRate{Percent: 50, MinimumRequests: 20, Window: 10 * time.Second}
	s.Breaker = &b
	s.RateLimit = &policy.RateLimit{Requests: 10_000_000, Per: time.Second, Burst: 10_000_000, Scope: policy.ShareNode, MaxWait: time.Second}
	s.Concurrency = &policy.Concurrency{Adaptive: &policy.AdaptiveConcurrency{Min: 100, Max: 1000}, MaxQueued: 100, MaxWait: time.Second, Scope: policy.ShareNode}
}

const request1K = "GET /some/path?with=query HTTP/1.1\r\nHost: up.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"

// rawUpstream answers every request head with a fixed response and allocates nothing.
func rawUpstream(response string) func(int, *peer) {
	return func(_ int, p *peer) {
		out := []byte(response)
		for {
			line, err := p.r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				if _, err := p.Write(out); err != nil {
					return
				}
			}
		}
	}
}

// quietWorld is a world whose observer keeps nothing.
func quietWorld(t testing.TB, response string, bindings ...policy.Binding) *testProxy {
	w := build(t, serve(t, rawUpstream(response)), bindings...)
	w.seen.discards.Store(true)
	return w
}

// exchangeRaw makes one exchange without allocating.
func exchangeRaw(c net.Conn, request, in []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	_, err := io.ReadFull(c, in)
	return err
}

func TestACallAllocatesNothing(t *testing.T) {
	host := toAny(everything)
	host.To = policy.Target{Kind: policy.TargetHost, Host: "*.example", Protocol: policy.ProtocolAuto}
	host.Rules = []policy.Rule{{
		Name: "r", Match: []policy.RequestMatch{{Methods: []string{"GET"}, PathType: policy.PathPrefix, Path: "/some"}}, Settings: host.Base,
	}}
	head := toAny(func(s *policy.Settings) {
		everything(s)
		s.AttemptHeader, s.Retry.SkipRetried = true, true
		s.Tracing = &policy.Tracing{}
	})
	head.Rules = []policy.Rule{{Name: "r", Settings: head.Base, Match: []policy.RequestMatch{
		{Host: "*.elsewhere"}, {Headers: []policy.RequestHeader{{Name: "x-none", Type: policy.ValueExact, Value: "x"}}},
		{PathType: policy.PathRegularExpression, Path: "/(some|other)/.*", Headers: []policy.RequestHeader{{Name: "user-agent", Type: policy.ValueRegularExpression, Value: "[a-z]+"}}},
	}}}
	for name, tc := range map[string]struct {
		binding  policy.Binding
		request  string
		response string
	}{
		"by its head, and numbered": {head, request1K, answer(200, strings.Repeat("x", 1024))},

		"not traced by its caller": {head, strings.Replace(request1K, "Accept", "Traceparent: "+unsampled+"\r\nAccept", 1), answer(200, "ok")},

		"plain":            {toAny(everything), request1K, answer(200, strings.Repeat("x", 1024))},
		"by host and rule": {host, request1K, answer(200, strings.Repeat("x", 1024))},
		"hop-by-hop":       {toAny(everything), "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"},
		"body":             {toAny(everything), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello\n", answer(200, "ok")},
		"16 KiB":           {toAny(everything), request1K, answer(200, strings.Repeat("x", 16<<10))},
	} {
		t.Run(name, func(t *testing.T) {
			w := quietWorld(t, tc.response, tc.binding)
			c := w.dial()
			request, in := []byte(tc.request), make([]byte, len(tc.response)-strip(tc.response))
			once := func() {
				if err := exchangeRaw(c, request, in); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				once()
			}
			if n := testing.AllocsPerRun(2000, once); n != 0 && !raceEnabled {
				t.Errorf("%v allocations per call, want none", n)
			}
		})
	}
}

// strip is how many bytes a response loses on its way.
func strip(response string) int {
	if strings.Contains(response, "Connection: keep-alive\r\n") {
		return len("Connection: keep-alive\r\n")
	}
	return 0
}

// Calls go on while policies change under them, and none fails.
func TestHotReloadUnderLoadLosesNoCall(t *testing.T) {
	w := quietWorld(t, answer(200, "fine"), toAny(everything))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var calls atomic.Int64
	for range 16 {
		c := w.dial()
		clients.Go(func() {
			in := make([]byte, len(answer(200, "fine")))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exchangeRaw(c, []byte(request1K), in); err != nil {
					t.Errorf("after %d calls: %v", calls.Load(), err)
					return
				}
				calls.Add(1)
			}
		})
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := range 300 {
		<-tick.C
		b := toAny(everything)
		b.Base.Timeouts.PerTry += time.Duration(i) * time.Millisecond
		b.Base.Pool.MaxConnections = 16 + i%100
		b.Base.Pool.MaxIdlePerEndpoint = i % 5
		if i%3 == 0 {
			b.Key = fmt.Sprint("k", i%7)
		}
		w.install(b)
	}
	close(stop)
	clients.Wait()
	if calls.Load() == 0 {
		t.Error("no call was made")
	}
}

// Connections that come and go leave nothing behind.
func TestConnectionsLeaveNothingBehind(t *testing.T) {
	w := quietWorld(t, answer(200, "fine"), toAny(everything))
	var clients sync.WaitGroup
	for i := range 50 {
		clients.Go(func() {
			c, err := net.Dial("tcp", w.captured.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			switch i % 4 {
			case 0: // says nothing
			case 1: // stops in the middle
				_, _ = io.WriteString(c, "GET / HTT")
			case 2: // does not wait for the answer
				_, _ = io.WriteString(c, request1K)
			default:
				_, _ = io.WriteString(c, request1K)
				_, _ = bufio.NewReader(c).ReadByte()
			}
		})
	}
	clients.Wait()
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
}

// One connection per pod is looked into, the second passes through untouched.
func TestConnectionsOverTheCapPassThrough(t *testing.T) {
	w := buildWith(t, Options{MaxConnectionsPerPod: 1}, serve(t, echo), toAny(nil))
	first, second := w.dial(), w.dial()
	first.get("/1")
	if _, body := second.get("/2"); body != "GET /2 " {
		t.Fatalf("got %q", body)
	}
	if w.events.passed[PassedShed].Load() != 1 {
		t.Error("no connection was shed")
	}
}
