package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fault is how a server fails one attempt.
type fault uint8

const (
	noFault    fault = iota
	abort            // ends the exchange without an answer: HTTP/1.1 closes the connection, HTTP/2 resets the stream
	abortBody        // ends it in the middle of the response's body
	breakAfter       // resets the connection once some bytes more were written to it, in the response's head or body
	breakEarly       // resets it once some bytes of the request's body were read
	faultCount
)

// step is what a server does with one attempt.
type step struct {
	late   time.Duration // before it answers
	status int
	size   int // of the response's body
	pieces int // that the body is written in, with pauses
	sized  bool
	fault  fault
	after  int           // bytes, for faults that come after some
	wish   string        // Retry-After
	wait   time.Duration // retry-after-ms, or the pushback of gRPC, which may be negative
	deaf   time.Duration // for how long it does not read the request's body
	stall  time.Duration // for how long it stops in the middle of the response's body
}

// server is one endpoint of the destination.
type server struct {
	round *round
	addr  netip.AddrPort
	ill   bool // fails each call
	backs bool // it is the backup
	http  *http.Server
	done  chan error
	// of one that sends back what it gets
	listener net.Listener
	closed   chan struct{}

	serving sync.RWMutex // held for reading by whoever writes accounts
	stopped bool         // guarded by serving
}

type connKey struct{}

// windowSize is how much of a request a server takes that does not read it, in rounds where that matters: of each of the buffers on the way.
const windowSize = 64 << 10

// startServer starts an endpoint for HTTP/1.1 and HTTP/2. One connection in brittle is reset as soon as it is made; 0: none.
func startServer(t *testing.T, r *round, backs bool, brittle int, rng *rand.Rand) *server {
	t.Helper()
	l := listen(t, r.narrow())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	s := &server{round: r, backs: backs, listener: l, addr: l.Addr().(*net.TCPAddr).AddrPort(), done: make(chan error, 1)}
	s.http = &http.Server{
		Handler: s, Protocols: &protocols, ErrorLog: silent, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: windowSize, MaxReceiveBufferPerConnection: 4 << 20},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	bl := &brittleListener{Listener: l, one: brittle, rng: rng}
	if r.fixed.kind == kindOpaque {
		s.closed = make(chan struct{})
		go func() { s.done <- s.echo(bl) }()
		return s
	}
	if r.trust == nil || backs {
		go func() { s.done <- s.http.Serve(bl) }()
		return s
	}
	s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*r.trust.server}}
	go func() { s.done <- s.http.ServeTLS(bl, "", "") }()
	return s
}

// narrow reports whether buffers on the way to servers are small, so that who does not read holds up who writes.
func (r *round) narrow() bool { return r.fixed.kind == kindTimeouts }

func listen(t *testing.T, narrow bool) net.Listener {
	t.Helper()
	var c net.ListenConfig
	if narrow {
		c.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			cerr := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
			return errors.Join(err, cerr)
		}
	}
	l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *server) stop() {
	if s.closed != nil {
		close(s.closed)
		_ = s.listener.Close()
	}
	_ = s.http.Close()
	<-s.done
	s.serving.Lock() // Close waits for nobody who serves a stream of HTTP/2
	s.stopped = true
	s.serving.Unlock()
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.serving.RLock()
	defer s.serving.RUnlock()
	if s.stopped {
		panic(http.ErrAbortHandler)
	}
	id, err := strconv.Atoi(q.Header.Get(callField))
	a := s.round.account(id)
	if err != nil || a == nil {
		s.round.violation("a server was sent a request that no client has made: %s %s", q.Method, q.URL)
		return
	}
	conn := brittle(q.Context().Value(connKey{}).(net.Conn))
	r := s.receive(a, conn, q.Header.Get(keyField))
	if q.Method != a.method {
		r.wrong = "the method is " + q.Method
	}
	if r.step.fault == breakEarly {
		_, _ = io.CopyN(io.Discard, q.Body, int64(r.step.after))
		conn.reset()
		panic(http.ErrAbortHandler)
	}
	wait(q.Context(), r.step.deaf)
	r.heard = time.Now()
	if wrong := a.readRequest(q); wrong != "" {
		r.wrong = "request: " + wrong
	}
	r.read = time.Now()
	wait(q.Context(), r.step.late)
	r.answers = time.Now()
	s.respond(w, a, r)
	a.finished(r, q.Context().Err() == nil)
}

// receive begins the account of an attempt.
func (s *server) receive(a *account, conn *brittleConn, key string) *receipt {
	if s.backs {
		return a.backedUp(conn, key)
	}
	r := a.received(conn, key)
	switch {
	case s.ill:
		r.ill, r.step = true, step{status: http.StatusServiceUnavailable, size: r.step.size}
	case s.round.outage.meets(r.at, r.at) && (a.pod == 0 || !s.round.fixed.sick):
		late := time.Duration(15+a.id%5*5) * time.Millisecond
		r.down, r.step = true, step{status: http.StatusServiceUnavailable, size: r.step.size, late: late}
	}
	return r
}

// read reads a body that is to be right, and says what is wrong. A body that breaks off is not wrong.
func read(body io.Reader, call, attempt, size int) string {
	b, at := make([]byte, 16<<10), 0
	for {
		n, err := body.Read(b)
		if !matches(b[:n], call, attempt, at) {
			return fmt.Sprintf("other bytes than were sent, in the %d from %d on", n, at)
		}
		at += n
		switch {
		case err == io.EOF && at != size:
			return fmt.Sprintf("%d bytes and the end, of %d bytes", at, size)
		case err != nil:
			return ""
		}
	}
}

// respond answers as the step says.
func (s *server) respond(w http.ResponseWriter, a *account, r *receipt) {
	p := &r.step
	if p.fault == abort {
		panic(http.ErrAbortHandler)
	}
	if p.fault == breakAfter {
		r.conn.breakAfter(p.after)
	}
	w.Header().Set(attemptField, strconv.Itoa(r.attempt))
	if a.rpc {
		s.respondRPC(w, a, r)
		return
	}
	if p.wish != "" {
		w.Header().Set("Retry-After", p.wish)
	}
	if p.wait != 0 {
		w.Header().Set("Retry-After-Ms", strconv.FormatInt(p.wait.Milliseconds(), 10))
	}
	if p.sized {
		w.Header().Set("Content-Length", strconv.Itoa(p.size))
	}
	r.last = time.Now()
	w.WriteHeader(p.status)
	if a.method != http.MethodHead {
		s.writeBody(w, a, r)
	}
	a.answered(r)
}

func (s *server) writeBody(w http.ResponseWriter, a *account, r *receipt) {
	pieces := max(r.step.pieces, 1)
	for i := range pieces {
		from, to := r.step.size*i/pieces, r.step.size*(i+1)/pieces
		b := make([]byte, to-from)
		fill(b, a.id, r.attempt, from)
		if from < to {
			r.last = time.Now() // before its client can have all of them
		}
		if _, err := w.Write(b); err != nil {
			panic(http.ErrAbortHandler)
		}
		if pieces > 1 {
			_ = http.NewResponseController(w).Flush()
			a.answered(r)
			if r.step.stall == 0 {
				time.Sleep(time.Duration(1+r.step.after%5) * time.Millisecond) // a slow server
			}
		}
		if r.step.stall > 0 && i == 0 {
			r.stalled = r.last
			time.Sleep(r.step.stall) // a server that stops, and goes on whatever has become of its client
			r.resumed = time.Now()
		}
		if r.step.fault == abortBody && i == pieces/2 {
			panic(http.ErrAbortHandler)
		}
	}
}

func (a *account) answered(r *receipt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.answered.IsZero() {
		r.answered = time.Now()
	}
}

// wait passes the time, or less if nobody waits for the answer any more.
func wait(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-late.C:
	case <-ctx.Done():
	}
}

// brittleListener makes connections that break when they are asked to, and some that break at once.
type brittleListener struct {
	net.Listener
	one int
	mu  sync.Mutex
	rng *rand.Rand // guarded by mu
}

// Accept implements net.Listener.
func (l *brittleListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	b := &brittleConn{TCPConn: c.(*net.TCPConn)}
	b.left.Store(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.one > 0 && l.rng.IntN(l.one) == 0 {
		b.reset()
	}
	return b, nil
}

// brittleConn can be reset after a number of bytes.
type brittleConn struct {
	*net.TCPConn
	left   atomic.Int64 // bytes until it breaks; -1: it does not
	broken atomic.Int64 // when it was broken, in nanoseconds
}

func (c *brittleConn) breakAfter(n int) { c.left.Store(int64(n)) }

func (c *brittleConn) reset() {
	c.broken.CompareAndSwap(0, time.Now().UnixNano())
	_ = c.SetLinger(0)
	_ = c.TCPConn.Close()
}

func (c *brittleConn) brokenAt() time.Time {
	if at := c.broken.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Write implements net.Conn.
func (c *brittleConn) Write(b []byte) (int, error) {
	left := c.left.Load()
	if left < 0 || left >= int64(len(b)) {
		if left >= 0 {
			c.left.Store(left - int64(len(b)))
		}
		return c.TCPConn.Write(b)
	}
	n, _ := c.TCPConn.Write(b[:left])
	c.reset()
	return n, net.ErrClosed
}

// ReadFrom implements io.ReaderFrom, so that what is written is counted.
func (c *brittleConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}
