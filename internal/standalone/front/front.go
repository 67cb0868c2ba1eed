package front

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

const (
	// headWait is how long the head of a request may take to come.
	headWait = 30 * time.Second
	// lookupWait is how long a name may take to be looked up.
	lookupWait = 10 * time.Second
	// pause follows a failed accept: descriptors may have run out.
	pause = 50 * time.Millisecond
)

// Server serves a connection that was on its way to an address, of which the beginning was read. It owns conn and blocks until it is done.
type Server interface {
	Serve(conn transport.Socket, to netip.AddrPort, read []byte)
}

// Resolver finds the address of a host. Its errors are sentences.
type Resolver interface {
	Resolve(ctx context.Context, host string, port uint16) (netip.AddrPort, error)
}

// Front hands connections to a Server. Its methods may be used by many goroutines.
type Front struct {
	// immutable
	Server   Server
	Resolver Resolver
	// Failed hears why a connection could not be handed over, a sentence.
	Failed func(why string)

	headWait time.Duration // 0: the constant
}

// Proxy serves an HTTP proxy until the listener is closed. Connections that have not been handed over end then; it returns when the others have.
func (f *Front) Proxy(l *transport.Listener) { accept(l, f.proxy) }

// Map serves a port that stands for another one, of a host, likewise.
func (f *Front) Map(l *transport.Listener, host string, port uint16) {
	to := target{host, port}
	accept(l, func(c *connection) { f.mapped(c, to) })
}

// connection is one that is to be handed over.
type connection struct {
	*os.File
	ctx  context.Context // ends when it is too late for that
	keep func() bool     // has it stay open when ctx ends; false: it has been closed
}

func accept(l *transport.Listener, serve func(*connection)) {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			serving.Go(func() { serve(&connection{c, ctx, context.AfterFunc(ctx, func() { _ = c.Close() })}) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			wait := time.NewTimer(pause)
			<-wait.C
		}
	}
}

// proxy serves one connection of a client that knows it speaks to a proxy.
func (f *Front) proxy(c *connection) {
	b, n, err := f.readHead(c, nil)
	if err != nil {
		_ = c.Close() // the client has gone, or says nothing
		return
	}
	h, err := parseHead(b[:n])
	if err != nil {
		f.refuse(c, "400 Bad Request", err)
		return
	}
	if h.method == "CONNECT" {
		f.connect(c, h, b[n:])
		return
	}
	to, path, err := h.absolute()
	if err != nil {
		f.refuse(c, "400 Bad Request", err)
		return
	}
	at, err := f.resolve(c.ctx, to)
	if err != nil {
		f.refuse(c, "502 Bad Gateway", err)
		return
	}
	f.serve(c, at, append(h.rewritten(path, to.hostField()), b[n:]...))
}

// serve hands a connection over.
func (f *Front) serve(c *connection, to netip.AddrPort, read []byte) {
	if c.keep() {
		f.Server.Serve(c.File, to, read)
	}
}

// connect serves a connection that becomes one to a host.
func (f *Front) connect(c *connection, h *head, rest []byte) {
	to, err := h.connectTarget()
	if err != nil {
		f.refuse(c, "400 Bad Request", err)
		return
	}
	at, err := f.resolve(c.ctx, to)
	if err != nil {
		f.refuse(c, "502 Bad Gateway", err)
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = c.Close()
		return
	}
	f.serve(c, at, rest)
}

// mapped serves one connection to a mapped port. A request of HTTP/1 is for the host that the port stands for, whatever its client calls it: it knows
// it under the name of this machine.
func (f *Front) mapped(c *connection, to target) {
	at, err := f.resolve(c.ctx, to)
	if err != nil {
		f.Failed(err.Error())
		_ = c.Close()
		return
	}
	var read []byte
	first := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(silence))
	n, err := c.Read(first)
	switch {
	case n == 1 && mayBeMethod(first[0]):
		read = f.renamed(c, first, to)
	case n == 1:
		read = first
	case !errors.Is(err, os.ErrDeadlineExceeded):
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	f.serve(c, at, read)
}

// silence is how long a client of a mapped port may say nothing before its server is connected to, which may be the first to speak.
const silence = 100 * time.Millisecond

func mayBeMethod(b byte) bool { return b >= 'A' && b <= 'Z' }

// renamed returns what was read of a connection that seems to begin with a request: with the host's name in it, if it does.
func (f *Front) renamed(c *connection, read []byte, to target) []byte {
	b, n, err := f.readHead(c, read)
	if err != nil {
		return b
	}
	h, err := parseHead(b[:n])
	if err != nil || h.method == "CONNECT" {
		return b
	}
	return append(h.rewritten(h.target, to.hostField()), b[n:]...)
}

// readHead reads until the head of a request is there, of which some was read. It returns all that was read, and how long the head is.
func (f *Front) readHead(c *connection, read []byte) (b []byte, head int, err error) {
	if err := c.SetReadDeadline(time.Now().Add(cmp.Or(f.headWait, headWait))); err != nil {
		return read, 0, err
	}
	buf := make([]byte, 16<<10)
	for b = read; ; {
		if n := endOfHead(b); n > 0 {
			return b, n, c.SetReadDeadline(time.Time{})
		}
		if len(b) > maxHead || looksOther(b) {
			return b, 0, errNotHTTP
		}
		n, err := c.Read(buf)
		if b = append(b, buf[:n]...); n == 0 && err != nil {
			return b, 0, err
		}
	}
}

// preface is how a client of HTTP/2 begins; it looks like a request of HTTP/1 up to its end.
const preface = "PRI * HTTP/2.0"

// looksOther reports whether b begins a line that is no request of HTTP/1: no more of it is waited for then.
func looksOther(b []byte) bool {
	return len(b) >= len(preface) && string(b[:len(preface)]) == preface
}

func (f *Front) resolve(ctx context.Context, to target) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	return f.Resolver.Resolve(ctx, to.host, to.port)
}

// refuse answers what cannot be handed over.
func (f *Front) refuse(c *connection, status string, why error) {
	defer func() { _ = c.Close() }()
	f.Failed(why.Error())
	text := "fairlead: " + why.Error() + "\n"
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(text), text)
}
