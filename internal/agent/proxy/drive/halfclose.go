package drive

import (
	"sync"
	"time"
)

// How often a client that has ended its side is checked: soon at first, since most that do so are about to close.
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

// look returns what is known, and whether it is time to ask.
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
