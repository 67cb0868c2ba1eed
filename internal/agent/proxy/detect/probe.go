package detect

import (
	"context"
	"net"
	"sync"

	"fairlead.dev/fairlead/internal/agent/proxy/panics"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// Heard is what a server says to a client that says nothing.
type Heard uint8

// What can be heard.
const (
	// Nothing, as long as it was listened to.
	Nothing Heard = iota
	// Greeting: it speaks first.
	Greeting
	// Ended: it has closed or reset the connection.
	Ended
	// Unreachable: there is none.
	Unreachable
)

// Probe is a connection to the server of a client that says nothing, made to hear who speaks first.
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

// StartProbe connects to the server and listens, in a goroutine that calls wake when whatever was to happen has happened.
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

// dial reports whether there is something to listen to.
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

// End has the probe listen no longer and waits until it has ended. It may be called more than once.
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

// Result returns what was heard, and the connection to the server: nil if it was not reached. It may be called after End, and panics
// if the probe has.
func (p *Probe) Result() (heard Heard, server *net.TCPConn) {
	p.panicked.Raise()
	return p.heard, p.server
}
