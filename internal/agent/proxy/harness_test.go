package proxy

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) {
	checkDropped()
	goleak.VerifyTestMain(m)
}

const pod = "pod-1"

// plainDialer dials without a namespace.
type plainDialer struct {
	*bell
	dials  atomic.Int64
	refuse atomic.Int64 // so many more dials fail
	panics atomic.Bool
	// broken is how many more dials make a connection that is reset already.
	broken atomic.Int64
	slow   atomic.Int64 // nanoseconds that each dial takes
	narrow atomic.Bool  // the kernel takes little of what is sent
	// asked counts the looks at clients' ends, of which nothing is known if blind.
	asked atomic.Int64
	blind atomic.Bool
	// captured is where clients connect to.
	captured net.Addr
	last     atomic.Pointer[net.TCPConn] // the connection made last
	// closed says of the world's own clients, by address, whether they have closed their connections.
	closed sync.Map
}

// ClientOpen implements drive.ClientFinder. Here clients do not see the original destination, since nothing redirects them.
func (d *plainDialer) ClientOpen(client, _ netip.AddrPort) (open, known bool) {
	defer d.ring()
	d.asked.Add(1)
	if d.blind.Load() {
		return false, false
	}
	if closed, known := d.closed.Load(client); known {
		return !closed.(bool), true
	}
	sockets, err := os.ReadFile("/proc/self/net/tcp") // slow where there are many sockets
	if err != nil {
		return false, false
	}
	ends := fmt.Sprintf("%s %s", procAddr(client), procAddr(netip.MustParseAddrPort(d.captured.String())))
	for line := range strings.Lines(string(sockets)) {
		// sl local_address rem_address st queues timer retransmits uid timeout inode
		if f := strings.Fields(line); len(f) > 9 && f[1]+" "+f[2] == ends {
			return f[9] != "0", true
		}
	}
	return false, false
}

// procAddr is an IPv4 address as /proc/net/tcp has it.
func procAddr(a netip.AddrPort) string {
	b := a.Addr().As4()
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(b[:]), a.Port())
}

func (d *plainDialer) Dial(ctx context.Context, to netip.AddrPort) (transport.Socket, error) {
	if d.panics.Load() {
		panic("told to")
	}
	d.dials.Add(1)
	d.ring()
	if d.refuse.Add(-1) >= 0 {
		return nil, syscall.ECONNREFUSED
	}
	if slow := d.slow.Load(); slow > 0 {
		late := time.NewTimer(time.Duration(slow))
		defer late.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
		}
	}
	if d.broken.Add(-1) >= 0 {
		return brokenConn()
	}
	var nd net.Dialer
	c, err := nd.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if d.narrow.Load() {
		_ = c.(*net.TCPConn).SetWriteBuffer(1)
	}
	d.last.Store(c.(*net.TCPConn))
	return c.(*net.TCPConn), nil
}

// bell is rung by whatever happens in a world, for those who wait for it.
type bell struct {
	mu    sync.Mutex
	rings chan struct{} // nil: nobody listens
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings != nil {
		close(b.rings)
		b.rings = nil
	}
}

// next is closed with the next ring.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings == nil {
		b.rings = make(chan struct{})
	}
	return b.rings
}

// waitFor waits until something has come true that makes itself heard: dials, tries, calls and the events of connections do.
func (b *bell) waitFor(t testing.TB, done func() bool) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		rings := b.next()
		if done() {
			return
		}
		select {
		case <-rings:
		case <-late.C:
			t.Fatal("it does not happen")
		}
	}
}

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

// events records what happens to connections.
type recordedEvents struct {
	*bell
	passed    [PassedCount]atomic.Int64
	malformed atomic.Int64
	refused   atomic.Pointer[drive.Refused] // the last
	panics    atomic.Int64
	t         testing.TB

	expectPanic atomic.Bool
}

func (e *recordedEvents) Opened()           { e.ring() }
func (e *recordedEvents) Closed()           { e.ring() }
func (e *recordedEvents) Passed(why Passed) { e.passed[why].Add(1); e.ring() }
func (e *recordedEvents) Malformed(r drive.Refused) {
	e.malformed.Add(1)
	e.refused.Store(&r)
	e.ring()
}

func (e *recordedEvents) Panicked(_ string, what any, stack []byte) {
	defer e.ring()
	e.panics.Add(1)
	if e.expectPanic.Load() {
		return
	}
	e.t.Errorf("panic: %v\n%s", what, stack)
}

// observer keeps what calls did.
type observer struct {
	*bell
	mu    sync.Mutex
	tries []routes.Attempt
	calls []routes.Exchange
	deaf  atomic.Bool // keep nothing
	// panics makes TryDone fail as a mistake of ours would.
	panics   atomic.Bool
	panicked atomic.Pointer[routes.Attempt]
	// opaque is about connections that were passed through.
	opaque struct{ opened, closed, sent, received atomic.Int64 }
}

func (o *observer) Recorder(policy.ID, string) routes.Recorder { return o }
func (o *observer) OpaqueOpened()                              { o.opaque.opened.Add(1); o.ring() }
func (o *observer) OpaqueClosed(sent, received int64) {
	o.opaque.sent.Add(sent)
	o.opaque.received.Add(received)
	o.opaque.closed.Add(1)
	o.ring()
}
func (o *observer) AttemptDone(t *routes.Attempt) {
	if o.panics.Load() {
		o.panicked.Store(t)
		panic("told to")
	}
	if o.deaf.Load() {
		return
	}
	defer o.ring()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tries = append(o.tries, *t)
}
func (o *observer) CallDone(e *routes.Exchange) {
	if o.deaf.Load() {
		return
	}
	defer o.ring()
	o.mu.Lock()
	defer o.mu.Unlock()
	c := *e
	c.Method, c.Host, c.Path = nil, nil, nil
	c.Attempts = slices.Clone(e.Attempts)
	o.calls = append(o.calls, c)
}

func (o *observer) lastCall(t testing.TB) routes.Exchange {
	t.Helper()
	o.waitFor(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.calls) > 0
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[len(o.calls)-1]
}

// world is a proxy between a client and whatever the test makes of the upstream.
type world struct {
	*bell
	t      testing.TB
	store  *routes.Table
	server *Server
	events *recordedEvents
	seen   *observer
	dialer *plainDialer
	// captured is where clients connect to, as if they had gone to original.
	captured net.Listener
	original netip.AddrPort
	// services are what the policy names, by their names.
	services map[string]*policy.Destination
}

// build starts a proxy whose captured connections were on their way to original.
func build(t testing.TB, original netip.AddrPort, bindings ...policy.Binding) *world {
	t.Helper()
	return buildWith(t, Options{}, original, bindings...)
}

// buildWith is build with other limits.
func buildWith(t testing.TB, o Options, original netip.AddrPort, bindings ...policy.Binding) *world {
	t.Helper()
	b := &bell{}
	w := &world{
		bell: b, t: t, original: original,
		events: &recordedEvents{bell: b, t: t}, seen: &observer{bell: b}, dialer: &plainDialer{bell: b},
	}
	var err error
	w.store, err = routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return w.dialer }, Observer: w.seen})
	if err != nil {
		t.Fatal(err)
	}
	w.install(bindings...)
	o.Store, o.Events = w.store, w.events
	w.server, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.captured, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.dialer.captured = w.captured.Addr()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() { _ = w.store.Run(ctx) })
	wg.Go(func() {
		for {
			c, err := w.captured.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.server.ServeCaptured(pod, c.(*net.TCPConn), original) })
		}
	})
	t.Cleanup(func() {
		w.captured.Close()
		stop, done := context.WithCancel(context.Background())
		done()
		_ = w.server.Shutdown(stop)
		cancel()
		wg.Wait()
	})
	return w
}

func (w *world) install(bindings ...policy.Binding) {
	w.t.Helper()
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod: {UID: pod, Namespace: "ns", Name: "pod", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: governed(bindings...)}},

		Destinations: w.services,
	}
	if r := w.store.Install(snapshot); len(r) > 0 {
		w.t.Fatalf("rejected: %v", r)
	}
}

// anywhere is a binding for every destination.
func anywhere(change func(*policy.Settings)) policy.Binding {
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
func (w *world) dial() *client {
	w.t.Helper()
	c, err := net.Dial("tcp", w.captured.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	end := c.LocalAddr().(*net.TCPAddr).AddrPort()
	w.dialer.closed.Store(end, false)
	own := &client{t: w.t, TCPConn: c.(*net.TCPConn), r: bufio.NewReader(c), closes: func() { w.dialer.closed.Store(end, true) }}
	w.t.Cleanup(func() { own.Close() })
	return own
}

type client struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader

	closes func()
}

// Close implements io.Closer.
func (c *client) Close() error {
	c.closes()
	return c.TCPConn.Close()
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

// serve starts an upstream that hands each connection to f, which closes it by returning.
func serve(t testing.TB, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	return serveBy(t, &net.ListenConfig{}, f)
}

// serveNarrowly is serve by an upstream whose kernel takes little that f does not read.
func serveNarrowly(t testing.TB, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	return serveBy(t, &net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
		return errors.Join(cerr, err)
	}}, f)
}

func serveBy(t testing.TB, by *net.ListenConfig, f func(n int, c *peer)) netip.AddrPort {
	t.Helper()
	l, err := by.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	closed := false
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if closed {
				c.Close()
			}
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				f(n, &peer{TCPConn: c.(*net.TCPConn), r: bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		closed = true
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// peer is the upstream's side of a connection.
type peer struct {
	*net.TCPConn
	r *bufio.Reader
}

// delivered waits until the other side's kernel has all that was sent, the end included.
func (p *peer) delivered(t testing.TB) {
	raw, err := p.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for left := 1; left > 0; <-again.C {
		reset := false
		err := raw.Control(func(fd uintptr) {
			left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
			info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			reset = infoErr == nil && info.State == unix.BPF_TCP_CLOSE // what was queued then stays queued
		})
		if err != nil || reset {
			return // closed, as at the end of a test
		}
	}
}

// request reads one request with its body.
func (p *peer) request() (*http.Request, string, bool) {
	q, err := http.ReadRequest(p.r)
	if err != nil {
		return nil, "", false
	}
	body, err := io.ReadAll(q.Body)
	return q, string(body), err == nil
}

func (p *peer) send(s string) { _, _ = io.WriteString(p, s) }

func (p *peer) ok(body string) { p.send(answer(200, body)) }

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
