package proxy

import (
	"context"
	"net"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/opaque"
	"fairlead.dev/fairlead/internal/agent/proxy/sniff"
	"fairlead.dev/fairlead/internal/agent/socket"
	"fairlead.dev/fairlead/internal/agent/store"
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
	case s.every((*store.Candidate).Opaque):
		s.passThrough(PassedDeclared)
		return false
	case s.every((*store.Candidate).DeclaredHTTP):
		return true
	}
	proto, err := sniff.Wait(&s.line, s.line.reader, time.Now())
	if err != nil {
		return false
	}
	if proto == sniff.Silent {
		return s.identifyLate()
	}
	return s.judge(proto, nil)
}

func (s *session) every(is func(*store.Candidate) bool) bool {
	for i := range s.candidates {
		if !is(&s.candidates[i]) {
			return false
		}
	}
	return true
}

// judge acts on what the first bytes showed.
func (s *session) judge(proto sniff.Protocol, server *net.TCPConn) (http bool) {
	why := PassedOther
	switch proto {
	case sniff.HTTP1:
		if server != nil {
			_ = server.Close()
		}
		return true
	case sniff.HTTP2:
		why = PassedHTTP2
	case sniff.TLS:
		why = PassedTLS
	case sniff.Undecided, sniff.Other, sniff.Silent:
	}
	s.rest = s.line.reader.Buffered()
	if server == nil {
		s.passThrough(why)
	} else {
		s.pass(why, server)
	}
	return false
}

// identifyLate deals with a client that says nothing: the server may be the first to speak, or the client has made the
// connection in advance. The server is connected to, and whoever speaks first decides (semantics rule 32).
func (s *session) identifyLate() bool {
	server, err := s.dialOriginal()
	if err != nil {
		s.client.ResetOnClose()
		return false
	}
	sock, err := socket.New(server)
	if err != nil {
		_ = server.Close()
		return false
	}
	listened := make(chan bool)
	go func() {
		spoke := sock.AwaitReadable() == nil
		if spoke {
			s.client.Nudge()
		}
		listened <- spoke
	}()
	err = s.line.awaitClient()
	sock.Interrupt()
	spoke := <-listened
	if derr := sock.Disarm(); derr != nil || s.client.Interrupted() {
		_ = server.Close()
		return false
	}
	if len(s.line.reader.Buffered()) == 0 && !spoke {
		_ = server.Close()
		return false // err: the client ended without a word
	}
	if spoke {
		return s.judge(sniff.Other, server)
	}
	if err != nil {
		return s.judge(sniff.Other, server)
	}
	proto, err := sniff.Wait(&s.line, s.line.reader, time.Now())
	if err != nil {
		_ = server.Close()
		return false
	}
	return s.judge(proto, server)
}

// governing returns the binding that governs the connection as a whole, if one does.
func (s *session) governing() *store.Candidate {
	if len(s.candidates) > 0 && !s.candidates[0].NeedsHost() {
		return &s.candidates[0]
	}
	return nil
}

// dialOriginal connects to where the client wanted to go.
func (s *session) dialOriginal() (*net.TCPConn, error) {
	dialer := s.srv.store.Dialer(s.pod)
	if dialer == nil {
		return nil, net.ErrClosed // the pod has just gone
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if g := s.governing(); g != nil && g.Base().Timeouts.Connect > 0 {
		ctx, cancel = context.WithTimeout(ctx, g.Base().Timeouts.Connect)
		defer cancel()
	}
	watch := watchClient(s.client, cancel)
	defer watch.stop()
	return dialer.Dial(ctx, s.original)
}

// passThrough has the connection carried to its end without being looked into. L4 failures are told by a reset (semantics rule 26).
func (s *session) passThrough(why Passed) {
	server, err := s.dialOriginal()
	if err != nil {
		s.srv.events.Passed(why)
		s.client.ResetOnClose()
		return
	}
	s.pass(why, server)
}

func (s *session) pass(why Passed, server *net.TCPConn) {
	s.srv.events.Passed(why)
	o := opaque.Options{ToServer: s.rest}
	if g := s.governing(); g != nil {
		g.Recorder().OpaqueOpened()
		if why == PassedDeclared {
			o.Idle = g.Base().Timeouts.Idle
		}
	}
	if len(s.rest) > 0 && len(s.rest) <= smallRest {
		// A new connection takes this much at once, so the buffer need not wait for the tunnel's end.
		if _, err := server.Write(s.rest); err != nil {
			_ = server.Close()
			s.client.ResetOnClose()
			return
		}
		o.ToServer, s.rest = nil, nil
		s.line.reader.Close()
	}
	s.tunnel = func() {
		_, _ = opaque.Run(s.client.TCP(), server, o) // an error means that one side is gone already
	}
}
