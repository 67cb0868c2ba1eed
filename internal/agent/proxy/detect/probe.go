package detect

import (
	"context"
	"net"
	"sync"

	"fairlead.dev/fairlead/internal/agent/proxy/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// Heard is what a server does while its client sends nothing.
type Heard uint8

// What can be heard.
const (
	// Nothing happened until End.
	Nothing Heard = iota
	// Greeting: it has sent something.
	Greeting
	// Ended: it has closed or reset the connection.
	Ended
	// Unreachable: it could not be connected to.
	Unreachable
)

// Probe is a connection to the server of a client that has sent nothing, made to find out which of the two speaks first.
type Probe struct {
	cancel context.CancelFunc // of the dial
	done   chan struct{}

	mu    sync.Mutex
	conn  *transport.Conn // guarded by mu
	ended bool            // guarded by mu

	// the goroutine's own until done is closed
	server   *net.TCPConn // nil: not reached
	heard    Heard
	panicked panics.Carrier
}

// StartProbe connects to the server and waits for its first byte or its end, in a goroutine that calls wake before it ends.
func StartProbe(dial func(context.Context) (*net.TCPConn, error), wake func()) *Probe {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Probe{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer wake()
		defer p.panicked.Catch()
		switch {
		case p.dial(ctx, dial):
			p.heard = p.listen()
		case ctx.Err() == nil:
			p.heard = Unreachable
		}
	}()
	return p
}

// dial reports whether the server was reached.
func (p *Probe) dial(ctx context.Context, dial func(context.Context) (*net.TCPConn, error)) bool {
	server, err := dial(ctx)
	if err != nil {
		return false
	}
	conn, err := transport.New(server)
	if err != nil {
		_ = server.Close()
		return false
	}
	p.server = server
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		conn.Interrupt()
	}
	p.conn = conn
	return true
}

func (p *Probe) listen() Heard {
	if p.conn.AwaitReadable() != nil {
		return Nothing
	}
	if p.conn.Ending() == transport.Broken || p.conn.Peek() == transport.Gone {
		return Ended
	}
	return Greeting
}

// End stops the probe and waits until its goroutine has ended. It may be called more than once.
func (p *Probe) End() {
	p.cancel()
	p.mu.Lock()
	p.ended = true
	if p.conn != nil {
		p.conn.Interrupt()
	}
	p.mu.Unlock()
	<-p.done
}

// Result returns what the server did, and the connection to it: nil if it was not reached. It may be called after End. It panics if
// the probe's goroutine has.
func (p *Probe) Result() (heard Heard, server *net.TCPConn) {
	p.panicked.Raise()
	return p.heard, p.server
}
