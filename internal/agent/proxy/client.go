package proxy

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// ClientFinder is what a pod's dialer may also be: one that looks at the client's end of a captured connection.
type ClientFinder interface {
	// ClientOpen reports whether a process still holds the client's socket, given its own address and the one it went to. known is
	// false when that cannot be told. It must not block.
	ClientOpen(client, original netip.AddrPort) (open, known bool)
}

// left reports whether the client has gone away, or the session is to end. A client that has only ended its side has not gone: it
// waits for what comes of what it said (rule 4). It may be called from any goroutine, and costs one system call until
// the client has ended its side.
func (s *session) left() bool {
	if s.client.Interrupted() {
		return true
	}
	switch s.client.Ending() {
	case transport.Whole:
		return false
	case transport.HalfClosed:
		return s.half.gone(time.Now(), s.clientOpen)
	case transport.Broken:
		if s.ended.Load() { // with the client's end that makes two, which looks the same
			return s.half.gone(time.Now(), s.clientOpen)
		}
	}
	return true
}

// clientOpen asks the pod's side of the connection.
func (s *session) clientOpen() (open, known bool) {
	finder, ok := s.srv.store.Dialer(s.pod).(ClientFinder)
	if !ok {
		return false, false
	}
	from, ok := s.client.TCP().RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false, false
	}
	return finder.ClientOpen(from.AddrPort(), s.original)
}

// How often a client that has ended its side is looked for: soon again at first, since most that do so are about to close.
const (
	firstAsk = 100 * time.Millisecond
	maxAsk   = 2 * time.Second
)

// half is what is known of a client that has ended its side.
type half struct {
	mu sync.Mutex
	// guarded by mu
	left bool
	wait time.Duration
	next time.Time
}

// gone reports whether the client is known to have gone. Where that cannot be known it has not: whoever has gone resets the
// connection as soon as it is sent anything.
func (h *half) gone(now time.Time, ask func() (open, known bool)) bool {
	if left, due := h.look(now); !due {
		return left
	}
	open, known := ask()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = h.left || known && !open
	return h.left
}

// look says what is known, and whether it is time to ask.
func (h *half) look(now time.Time) (left, due bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left || now.Before(h.next) {
		return h.left, false
	}
	h.wait = min(max(firstAsk, 2*h.wait), maxAsk)
	h.next = now.Add(h.wait)
	return false, true
}
