package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// word is what a server says to a client that says nothing.
type word uint8

const (
	// unheard: nothing, as long as it was listened to.
	unheard word = iota
	// greeting: it speaks first.
	greeting
	// ended: it has closed or reset the connection.
	ended
	// unreachable: there is none.
	unreachable
)

// probe is a connection to the server of a client that says nothing, made to hear who speaks first.
type probe struct {
	cancel context.CancelFunc // of the dial
	done   chan struct{}

	mu    sync.Mutex
	sock  *transport.Conn // guarded by mu
	ended bool         // guarded by mu

	// the goroutine's own until done is closed
	server *net.TCPConn // nil: not reached
	word   word
	fault  fault
}

// identifyLate deals with a client that says nothing: the server may be the first to speak, or the client has made the
// connection in advance, or is slow on a busy machine. The server is connected to, and whoever speaks first decides (semantics
// rule 32). Whatever the server does reaches the client at once, also that it refuses or ends the connection: the client may have
// connected to see just that.
func (s *session) identifyLate() bool {
	p := s.probe()
	defer p.end()
	err := s.line.awaitClient(time.Time{})
	p.end()
	p.fault.raise()
	if s.client.ClearDeadlines() != nil || s.client.Interrupted() {
		p.close()
		return false
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = s.line.awaitClient(time.Now()) // it may have spoken at the same moment
	}
	switch {
	case err == nil && p.word != greeting:
		return s.judgeWords(p.server)
	case err == nil:
		return s.judge(detect.Detect(s.line.reader.Buffered()), p.server)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF):
		if p.word == unreachable {
			s.unreachable(PassedOther)
			return false
		}
		return s.judge(detect.Silent, p.server)
	}
	p.close()
	return false
}

// judgeWords waits for enough of the client's words to be judged.
func (s *session) judgeWords(server *net.TCPConn) (http bool) {
	proto, err := detect.Wait(&s.line, s.line.reader, s.srv.sniffDelay)
	if err != nil {
		if server != nil {
			_ = server.Close()
		}
		return false
	}
	return s.judge(proto, server)
}

// probe connects to the server and listens. It cuts the wait for the client short when the server has the first word.
func (s *session) probe() *probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer s.client.Wake() // whatever has happened; who has been told to end is not listened to any more
		defer p.fault.catch()
		switch {
		case p.dial(ctx, s):
			p.word = p.listen()
		case ctx.Err() == nil:
			p.word = unreachable
		}
	}()
	return p
}

// dial reports whether there is something to listen to.
func (p *probe) dial(ctx context.Context, s *session) bool {
	server, err := s.dialOriginal(ctx)
	if err != nil {
		return false
	}
	sock, err := transport.New(server)
	if err != nil {
		_ = server.Close()
		return false
	}
	p.server = server
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		sock.Interrupt()
	}
	p.sock = sock
	return true
}

func (p *probe) listen() word {
	if p.sock.AwaitReadable() != nil {
		return unheard
	}
	if p.sock.Ending() == transport.Broken || p.sock.Peek() == transport.Gone {
		return ended
	}
	return greeting
}

// end has the probe listen no longer and waits until it has ended. It may be called more than once.
func (p *probe) end() {
	p.cancel()
	p.mu.Lock()
	p.ended = true
	if p.sock != nil {
		p.sock.Interrupt()
	}
	p.mu.Unlock()
	<-p.done
}

// close gives up the connection.
func (p *probe) close() {
	if p.server != nil {
		_ = p.server.Close()
	}
}
