package h1

import "time"

// Detection reads through the session's reader, so that the bytes it has read are there for the session.

// Buffered returns what was read and not consumed.
func (s *Session) Buffered() []byte { return s.in.reader.Buffered() }

// More reads at least one byte more.
func (s *Session) More() error { return s.in.reader.More() }

// SetReadDeadline sets when More fails with os.ErrDeadlineExceeded; zero: never.
func (s *Session) SetReadDeadline(t time.Time) error { return s.in.SetReadDeadline(t) }

// Preload says what was read of the connection before the session got it.
func (s *Session) Preload(read []byte) { s.in.reader.Preload(read) }

// Prefix returns what was read of a connection that is to be passed on after Serve.
func (s *Session) Prefix() []byte { return s.prefix }

// Tunnel returns what carries the connection on after Serve, outside transport.Conn.Pin; nil: nothing.
func (s *Session) Tunnel() func() { return s.tunnel }
