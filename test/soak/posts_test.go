package soak

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// posts is how many calls are made of each protocol in TestNoPOSTIsExecutedTwice, of which there are two. Three quarters of them must not be executed twice, some
	// 100,000 of both protocols.
	posts = 68_000
	// positions is at how many bytes connections break, in either direction: as many as a few calls have.
	positions = 800
	posters   = 16
	// written is the direction in which a connection breaks once bytes were written; 0: once they were read.
	written = 1
	order   = "one cup of coffee, paid once"
)

// A connection to the server breaks at each byte of requests and responses in turn, and the policy retries whatever may be: no POST is executed twice, unless
// the policy says that any call may be repeated, or the call has a key. An execution is a request that the server has read to its end.
func TestNoPOSTIsExecutedTwice(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%t", http2), func(t *testing.T) { executeOnce(t, http2) })
	}
}

func executeOnce(t *testing.T, http2 bool) {
	s := startExecutor(t)
	r := &round{lag: watchLag()}
	r.behind.Store(&[]netip.AddrPort{s.addr}) // a client that has said nothing for a while may be waiting for it to speak
	defer r.lag.stop()
	r.pods = []*pod{startPod(t, r, "pod-0", &r.running)}
	modes := []policy.Idempotency{policy.SafeMethods, policy.IdempotentMethods, policy.IdempotentOrKeyed, policy.AnyMethod}
	r.replace(startAgent(t, r, snapshotOf(persistent(modes[0]), persistent(modes[0]), r.pods, s.addr)))
	for i, mode := range modes {
		r.a.install(r, snapshotOf(persistent(mode), persistent(mode), r.pods, s.addr))
		s.begin()
		from := i * posts / len(modes)
		answered := postAll(r, http2, from, from+posts/len(modes))
		twice := s.twice.Load()
		t.Logf("%d of %d calls were answered, %d executed twice", answered, posts/len(modes), twice)
		if mode == policy.AnyMethod && twice == 0 {
			t.Error("no call was executed twice that may be: nothing was tried")
		}
		if mode != policy.AnyMethod && twice > 0 {
			t.Errorf("%d calls were executed twice that may not be repeated", twice)
		}
		if answered == 0 {
			t.Error("no call was answered")
		}
		s.checkCovered(t, mode)
	}
	r.pods[0].stop()
	r.a.stop(r)
	s.stop()
	for _, show := range r.list {
		t.Error(show())
	}
}

// persistent retries as much as a policy can.
func persistent(mode policy.Idempotency) policy.Settings {
	s := policy.Defaults()
	s.Retry.MaxRetries, s.Retry.Idempotency = 4, mode
	for c := policy.ConnectFailure; c <= policy.RetryAfterPresent; c++ {
		s.Retry.On |= policy.Of(c)
	}
	s.Retry.Backoff.Initial, s.Retry.Backoff.Max = time.Microsecond, time.Microsecond
	s.Retry.Budget = policy.Budget{Percent: 100, MinPerSecond: 1_000_000, Window: 10 * time.Second}
	s.Pool.MaxStreams = 2 // so that there are many connections to break
	return s
}

// postAll makes the calls from one to another, and returns how many were answered by the server.
func postAll(r *round, http2 bool, from, to int) int64 {
	var (
		next     atomic.Int64
		answered atomic.Int64
		clients  sync.WaitGroup
	)
	next.Store(int64(from))
	for range posters {
		c := newClient(r, 0, http2, constant())
		clients.Go(func() {
			defer c.http.CloseIdleConnections()
			for {
				id := int(next.Add(1)) - 1
				if id >= to {
					return
				}
				if c.post(id) {
					answered.Add(1)
				}
			}
		})
	}
	clients.Wait()
	return answered.Load()
}

// post makes one call, and reports whether the server has answered it.
func (c *client) post(id int) bool {
	q, _ := http.NewRequest(http.MethodPost, "http://up.shop/orders", io.NopCloser(bytes.NewBufferString(order)))
	q.ContentLength = int64(len(order))
	q.Header.Set(callField, strconv.Itoa(id))
	sends := 0
	q = q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sends++ }}))
	res, err := c.http.RoundTrip(q)
	if sends > 1 {
		c.round.violation("the client has sent call %d %d times itself", id, sends)
	}
	if err != nil {
		return false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return err == nil && res.StatusCode == 200 && string(body) == order
}

// executor executes orders, and breaks its connections.
type executor struct {
	addr     netip.AddrPort
	http     http.Server
	done     chan error
	conns    atomic.Int64
	twice    atomic.Int64
	cut      [2][positions]atomic.Bool // in this mode: behind how many bytes a connection broke that were read, and that were written
	executed [posts]atomic.Int32
}

func startExecutor(t *testing.T) *executor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &executor{addr: l.Addr().(*net.TCPAddr).AddrPort(), done: make(chan error, 1)}
	s.http = http.Server{Handler: s, Protocols: &http.Protocols{}, ErrorLog: silent}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	go func() { s.done <- s.http.Serve(&cuttingListener{l, s}) }()
	return s
}

func (s *executor) stop() {
	_ = s.http.Close()
	<-s.done
}

// begin begins another mode.
func (s *executor) begin() {
	s.twice.Store(0)
	for i := range s.cut {
		for at := range s.cut[i] {
			s.cut[i][at].Store(false)
		}
	}
}

// checkCovered: a connection has broken at each byte that the server reads, and at each that it writes.
func (s *executor) checkCovered(t *testing.T, mode policy.Idempotency) {
	t.Helper()
	for i, direction := range []string{"read", "written"} {
		var missing []int
		for at := range s.cut[i] {
			if !s.cut[i][at].Load() {
				missing = append(missing, at)
			}
		}
		if len(missing) > 0 {
			t.Errorf("mode %d: no connection broke behind %d of %d numbers of bytes %s: %v", mode, len(missing), positions, direction, missing)
		}
	}
}

// ServeHTTP implements http.Handler.
func (s *executor) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	id, _ := strconv.Atoi(q.Header.Get(callField))
	if err == nil && string(body) == order && s.executed[id].Add(1) == 2 {
		s.twice.Add(1)
	}
	_, _ = w.Write(body)
}

// cuttingListener has each connection break at another byte: one that it reads or one that it writes.
type cuttingListener struct {
	net.Listener
	s *executor
}

// Accept implements net.Listener.
func (l *cuttingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	direction, at := l.s.next()
	cut := &cuttingConn{brittleConn: brittleConn{TCPConn: c.(*net.TCPConn)}, reads: 1 << 30}
	cut.left.Store(-1)
	cut.done = &l.s.cut[direction][at]
	if direction == written {
		cut.breakAfter(at)
	} else {
		cut.reads = at
	}
	return cut, nil
}

// next is where the next connection is to break: at the next place where none has broken in this mode, or simply the next one.
func (s *executor) next() (direction, at int) {
	first := int(s.conns.Add(1) - 1)
	for n := first; n < first+2*positions; n++ {
		if direction, at = n%2, n/2%positions; !s.cut[direction][at].Load() {
			return direction, at
		}
	}
	return first % 2, first / 2 % positions
}

// cuttingConn is reset once so many bytes were read, too.
type cuttingConn struct {
	brittleConn
	reads int
	done  *atomic.Bool // it has broken where it was to
}

// Write implements net.Conn.
func (c *cuttingConn) Write(b []byte) (int, error) {
	left := c.left.Load()
	n, err := c.brittleConn.Write(b)
	if left >= 0 && left < int64(len(b)) {
		c.done.Store(true)
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom, so that what is written is counted.
func (c *cuttingConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Read implements net.Conn.
func (c *cuttingConn) Read(b []byte) (int, error) {
	if c.reads == 0 {
		c.done.Store(true)
		c.reset()
		return 0, net.ErrClosed
	}
	n, err := c.TCPConn.Read(b[:min(len(b), c.reads)])
	c.reads -= n
	return n, err
}
