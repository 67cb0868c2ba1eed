package detect

import (
	"context"
	"sync"

	"fairlead.dev/fairlead/internal/agent/panics"
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

	mu     sync.Mutex
	server *transport.Conn // guarded by mu until done is closed; nil: not reached
	ended  bool            // guarded by mu

	// the goroutine's own until done is closed
	heard    Heard
	panicked panics.Carrier
}

// StartProbe connects to the server and waits for its first byte or its end, in a goroutine that calls wake before it ends.
func StartProbe(dial func(context.Context) (*transport.Conn, error), wake func()) *Probe {
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
func (p *Probe) dial(ctx context.Context, dial func(context.Context) (*transport.Conn, error)) bool {
	server, err := dial(ctx)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		server.Wake()
	}
	p.server = server
	return true
}

func (p *Probe) listen() Heard {
	if p.server.AwaitReadable() != nil {
		return Nothing
	}
	if p.server.Ending() == transport.Broken || p.server.Peek() == transport.Gone {
		return Ended
	}
	return Greeting
}

// End stops the probe and waits until its goroutine has ended. It may be called more than once.
func (p *Probe) End() {
	p.cancel()
	p.mu.Lock()
	p.ended = true
	if p.server != nil {
		p.server.Wake()
	}
	p.mu.Unlock()
	<-p.done
}

// Result returns what the server did. It may be called after End, and panics if the probe's goroutine has. A Wake may be left on the
// connection, see transport.Conn.ClearDeadlines.
func (p *Probe) Result() Heard {
	p.panicked.Raise()
	return p.heard
}
