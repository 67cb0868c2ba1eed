package proxy

import (
	"context"
	"errors"
	"io"
	"net"

	"fairlead.dev/fairlead/internal/agent/proxy/tunnel"
	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// smallRest is what surely fits the send buffer of a new connection (tcp_wmem's least is 4 KiB).
const smallRest = 4 << 10

// identify finds out whether the connection may carry HTTP/1. If not, it passes the connection through to its end and reports
// false.
func (s *session) identify() bool {
	switch {
	case len(s.candidates) == 0:
		s.passThrough(PassedUnmatched)
		return false
	case s.every((*routes.Candidate).Opaque):
		s.passThrough(PassedDeclared)
		return false
	case s.every((*routes.Candidate).DeclaredHTTP):
		return true
	}
	proto, err := detect.Wait(&s.line, s.line.reader, s.srv.sniffDelay)
	switch {
	case errors.Is(err, io.EOF): // it may still be waiting for a server that speaks first
		proto = detect.Other
	case err != nil:
		return false
	case proto == detect.Silent:
		return s.identifyLate()
	}
	return s.judge(proto, nil)
}

func (s *session) every(is func(*routes.Candidate) bool) bool {
	for i := range s.candidates {
		if !is(&s.candidates[i]) {
			return false
		}
	}
	return true
}

// judge acts on what the first bytes showed.
func (s *session) judge(proto detect.Protocol, server *net.TCPConn) (http bool) {
	why := PassedOther
	switch proto {
	case detect.HTTP1:
		if server != nil {
			_ = server.Close()
		}
		return true
	case detect.HTTP2:
		why = PassedHTTP2
	case detect.TLS:
		why = PassedTLS
	case detect.Undecided, detect.Other, detect.Silent:
	}
	s.rest = s.line.reader.Buffered()
	if server == nil {
		s.passThrough(why)
	} else {
		s.pass(why, server)
	}
	return false
}

// governing returns the binding that governs the connection as a whole, if one does.
func (s *session) governing() *routes.Candidate {
	if len(s.candidates) > 0 && !s.candidates[0].NeedsHost() {
		return &s.candidates[0]
	}
	return nil
}

// settings are those in force for the connection as a whole.
func (s *session) settings() *policy.Settings {
	if g := s.governing(); g != nil {
		return g.Base()
	}
	return &s.srv.defaults
}

// dialOriginal connects to where the client wanted to go. The wait is bounded whoever governs the connection: the client takes it
// for established already, so its own patience with connecting, after which it would try another address, does not count.
func (s *session) dialOriginal(ctx context.Context) (*net.TCPConn, error) {
	dialer := s.srv.store.Dialer(s.pod)
	if dialer == nil {
		return nil, net.ErrClosed // the pod has just gone
	}
	settings := s.settings()
	limit := settings.Timeouts.Connect
	if limit <= 0 {
		limit = s.srv.defaults.Timeouts.Connect
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	server, err := dialer.Dial(ctx, s.original)
	if err != nil {
		return nil, err
	}
	k := settings.Pool.KeepAlive
	if err := transport.SetKeepAlive(server, k.Idle, k.Interval, k.Probes); err != nil {
		_ = server.Close()
		return nil, err
	}
	return server, nil
}

// passThrough has the connection carried to its end without being looked into.
func (s *session) passThrough(why Passed) {
	s.state.Store(passing)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := watchClient(s.left, cancel)
	server, err := s.dialOriginal(ctx)
	watch.stop()
	if err != nil {
		s.unreachable(why)
		return
	}
	s.pass(why, server)
}

// unreachable tells the client that its server cannot be reached: L4 failures are resets (rule 26).
func (s *session) unreachable(why Passed) {
	s.srv.events.Passed(why)
	s.client.ResetOnClose()
}

func (s *session) pass(why Passed, server *net.TCPConn) {
	s.state.Store(passing)
	s.srv.events.Passed(why)
	o := tunnel.Options{ToServer: s.rest}
	var recorder routes.Recorder = routes.Silence{}
	if g := s.governing(); g != nil {
		recorder = g.Recorder()
		o.Idle = g.Base().Timeouts.Idle
	}
	var first int64 // bytes sent to the server here
	if len(s.rest) > 0 && len(s.rest) <= smallRest {
		// A new connection takes this much at once, so the buffer need not wait for the tunnel's end.
		if _, err := server.Write(s.rest); err != nil {
			_ = server.Close()
			s.client.ResetOnClose()
			return
		}
		first = int64(len(s.rest))
		o.ToServer, s.rest = nil, nil
		s.line.reader.Close()
	}
	s.tunnel = func() {
		recorder.OpaqueOpened()
		end, _ := tunnel.Run(s.client.TCP(), server, o) // an error means that one side is gone already
		recorder.OpaqueClosed(first+end.ToServer, end.ToClient)
	}
}
