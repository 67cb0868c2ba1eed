package http2test

import (
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// Over, if not nil, has the connections of all servers that have none of their own go over what it puts on them, such as TLS. It is to be set before the first one.
var Over func(net.Conn) net.Conn

// Server is a server that answers by scripts.
type Server struct {
	// immutable
	t        testing.TB
	listener *net.TCPListener
	script   Script

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []*Conn
	done  bool
	some  *sync.Cond
}

// Script is what a Server does. Each function runs in a goroutine of its own, and its errors are the test's to report or to expect.
type Script struct {
	Options
	// Conn, if not nil, is called for each connection once the first SETTINGS were sent.
	Conn func(*Conn)
	// Stream is called for each request, once its head has come.
	Stream func(*Stream)
}

// NewServer starts a server on a free port. It ends with the test.
func NewServer(t testing.TB, s Script) *Server {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	return ServeOn(t, l, s)
}

// ServeOn is NewServer where somebody listens already. The server closes the listener.
func ServeOn(t testing.TB, l *net.TCPListener, s Script) *Server {
	srv := &Server{t: t, listener: l, script: s}
	srv.some = sync.NewCond(&srv.mu)
	srv.wg.Go(srv.run)
	t.Cleanup(srv.Close)
	return srv
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Conns are the connections so far, ended ones included.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Conn{}, s.conns...)
}

// AwaitConn waits for the i-th connection, counted from 0.
func (s *Server) AwaitConn(i int) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) <= i && !s.done {
		s.some.Wait()
	}
	if len(s.conns) <= i {
		return nil
	}
	return s.conns[i]
}

// Close ends the server, its connections and its scripts.
func (s *Server) Close() {
	_ = s.listener.Close() // which ends Accept
	s.mu.Lock()
	s.done = true
	for _, c := range s.conns {
		c.Close()
	}
	s.some.Broadcast()
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) run() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		switch {
		case s.script.Over != nil:
			nc = s.script.Over(nc)
		case Over != nil:
			nc = Over(nc)
		}
		c := newConn(nc, true, s.script.Options)
		c.accept = func(st *Stream) {
			if s.script.Stream != nil {
				s.wg.Go(func() { s.script.Stream(st) })
			}
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		if s.done {
			c.Close()
		}
		s.some.Broadcast()
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(c) })
	}
}

func (s *Server) serve(c *Conn) {
	if !c.opts.NeverRead {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c.nc, preface); err != nil || string(preface) != http2.ClientPreface {
			close(c.ended)
			c.note(func() { c.err = io.ErrUnexpectedEOF })
			c.Close()
			return
		}
	}
	_ = c.Settings(c.opts.Settings...) // reading fails too, then
	if s.script.Conn != nil {
		s.wg.Go(func() { s.script.Conn(c) })
	}
	c.read()
}

// Respond sends a final response with data, in one go.
func (s *Stream) Respond(status int, data []byte, f Fields) error {
	f = append(F(":status", strconv.Itoa(status)), f...)
	if len(data) == 0 {
		return s.Headers(true, f)
	}
	if err := s.Headers(false, f); err != nil {
		return err
	}
	return s.Data(data, true)
}

// Echo is a script that sends back what comes, with the request's fields in front of whose names it puts "echo-".
func Echo(s *Stream) {
	head, err := s.Head()
	if err != nil {
		return
	}
	f := F(":status", "200")
	for _, h := range head {
		if h.Name[0] != ':' {
			h.Name = "echo-" + h.Name
			f = append(f, h)
		}
	}
	body, err := s.Body()
	if err != nil || s.Headers(false, f) != nil || s.Data(body, s.trailers == nil) != nil || s.trailers == nil {
		return
	}
	_ = s.Headers(true, s.trailers) // the client's to miss
}
