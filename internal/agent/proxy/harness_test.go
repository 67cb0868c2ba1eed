package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) {
	checkDropped()
	over.init()
	goleak.VerifyTestMain(m)
}

const pod = "pod-1"

// poll waits for what nothing tells of, such as the state of the kernel or of a queue.
func poll(t testing.TB, done func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !done(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

// build starts a proxy whose captured connections were on their way to original.
func build(t testing.TB, original netip.AddrPort, bindings ...policy.Binding) *testProxy {
	t.Helper()
	return buildWith(t, Options{}, original, bindings...)
}

func (w *testProxy) install(bindings ...policy.Binding) {
	w.t.Helper()
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod: {UID: pod, Namespace: "ns", Name: "pod", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: governed(bindings...)}},

		Destinations: w.services, Roots: w.roots, KeyPairs: w.pairs, Credentials: w.credentials,
	}
	over.complete(snapshot)
	if r := w.store.Install(snapshot); len(r) > 0 {
		w.t.Fatalf("rejected: %v", r)
	}
}

// toAny is a binding for every destination.
func toAny(change func(*policy.Settings)) policy.Binding {
	s := policy.Defaults()
	s.Retry.Backoff.Initial, s.Retry.Backoff.Max = time.Millisecond, time.Millisecond
	s.Retry.Budget = policy.Budget{Percent: 100, MinPerSecond: 1000, Window: 10 * time.Second}
	if change != nil {
		change(&s)
	}
	return policy.Binding{
		Key: "k", Policy: policy.ID{Namespace: "ns", Name: "p"}, To: policy.Target{Kind: policy.TargetAny, Protocol: policy.ProtocolHTTP}, Base: s,
	}
}

func retryOn(cs ...policy.Condition) func(*policy.Settings) {
	return func(s *policy.Settings) { s.Retry.On = policy.Of(cs...) }
}

// dial opens a client's connection.
func (w *testProxy) dial() *client {
	w.t.Helper()
	c, err := net.Dial("tcp", w.captured.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	end := c.LocalAddr().(*net.TCPAddr).AddrPort()
	w.dialer.closed.Store(end, false)
	own := newClient(w.t, c.(*net.TCPConn), tlslayer.HTTP1)
	own.closes = func() { w.dialer.closed.Store(end, true) }
	w.t.Cleanup(func() { own.Close() })
	return own
}

// newClient is a client of a protocol on a connection.
func newClient(t testing.TB, c *net.TCPConn, protocol string) *client {
	t.Helper()
	own := &client{t: t, stream: stream{TCPConn: c}, closes: func() {}}
	own.put(must(over.secure(c, protocol))(t))
	own.r = bufio.NewReader(own)
	return own
}

type client struct {
	stream

	t testing.TB
	r *bufio.Reader

	closes func()
}

// Close implements io.Closer.
func (c *client) Close() error {
	c.closes()
	return c.stream.Close()
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// response reads a response to a request with the method.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("response body: %v", err)
	}
	return res, string(body)
}

func (c *client) get(path string) (*http.Response, string) {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: up.example\r\n\r\n")
	return c.response("GET")
}

// expectEnd checks that the connection ends without another byte.
func (c *client) expectEnd() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("got byte %q, want the end", b)
	}
}

func answer(status int, body string) string {
	var b strings.Builder
	r := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
	_ = r.Write(&b)
	return b.String()
}

// echo serves any number of requests with their method, target and body.
func echo(_ int, p *peer) {
	for {
		q, body, ok := p.request()
		if !ok {
			return
		}
		if q.Method == "HEAD" {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			continue
		}
		p.ok(q.Method + " " + q.RequestURI + " " + body)
	}
}

// oneProcessor has the test run on one processor: pools of objects have a part for each.
func oneProcessor(t *testing.T) {
	t.Helper()
	t.Setenv("ALONE", "1") // panics in a test that runs beside others: the number of processors is the whole process's
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}
