package transport

import "crypto/x509"

// Layer is a protocol between the socket and those who use a Conn, such as TLS after its handshake. It reads and writes the socket
// by way of Raw and never waits: where it needs the socket to become ready it says ErrWouldBlock, and is asked again when the socket
// has. One goroutine at a time uses its reading side (TryRead, Peek), one its writing side (TryWrite, CloseWrite).
type Layer interface {
	// TryRead opens what has arrived into p. Fewer bytes than p has room for are all that could be opened; none at all is
	// ErrWouldBlock. It returns io.EOF when the peer has said that nothing follows, and io.ErrUnexpectedEOF when the socket has
	// ended without that.
	TryRead(p []byte) (int, error)
	// Peek returns what TryRead would read next, of n bytes as many as could be opened, valid until the next call. Its errors are those
	// of TryRead. (Memory passed to it instead would not stay on the stacks of those who peek at plain connections.)
	Peek(n int) ([]byte, error)
	// TryWrite seals p and sends that. It counts the bytes of p that have left completely sealed; of the others some may have been
	// sealed already, so that the next TryWrite must begin with them. What has left in part cannot be opened by the peer.
	TryWrite(p []byte) (int, error)
	// CloseWrite tells the peer that nothing follows. What the socket does not take at once of that is lost, and the end looks to the
	// peer like a broken one.
	CloseWrite() error
	// Leave tells the peer, if the socket takes it at once, that the connection is closed on purpose. Any goroutine may call it.
	Leave()
	// Info is what the two sides have agreed on in the handshake.
	Info() Info
}

// Info is what the two sides have agreed on in a handshake. It is zero for a connection without a Layer.
type Info struct {
	// ALPN is the application protocol that both sides have agreed on; empty: none.
	ALPN string
	// ServerName is the name that the client asked for (SNI); empty: none.
	ServerName string
	// Peer is the peer's certificate if it was verified, or nil.
	Peer *x509.Certificate
}

// Info is what the two sides have agreed on in the handshake, if there was one.
func (c *Conn) Info() Info {
	l := c.layer.Load()
	if l == nil {
		return Info{}
	}
	return (*l).Info()
}

// Secure has everything that is read and written from now on go through l.
func (c *Conn) Secure(l Layer) {
	c.layer.Store(&l)
}

// Layer is what Secure has put on the connection; nil: nothing.
func (c *Conn) Layer() Layer {
	if l := c.layer.Load(); l != nil {
		return *l
	}
	return nil
}

// Raw is the socket below a Layer.
type Raw struct{ conn *Conn }

// Raw returns the socket below the layer that c has or is going to have.
func (c *Conn) Raw() Raw { return Raw{c} }

// TryRead is Conn.TryRead on the socket.
func (r Raw) TryRead(p []byte) (int, error) { return recv(r.conn.fd, p) }

// TryWrite is Conn.TryWrite on the socket.
func (r Raw) TryWrite(p []byte) (int, error) { return send(r.conn.fd, p) }

// CloseWrite is Conn.CloseWrite on the socket.
func (r Raw) CloseWrite() error { return r.conn.shutdown() }

func (c *Conn) peekLayer(p []byte) (int, State) {
	opened, err := c.Layer().Peek(len(p))
	switch err {
	case nil:
		return copy(p, opened), Readable
	case ErrWouldBlock: //nolint:errorlint // it comes bare
		return 0, Quiet
	default:
		return 0, Gone
	}
}
