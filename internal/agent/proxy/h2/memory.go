package h2

import (
	"slices"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

const (
	// maxUnused is how many streams are kept for another call, and maxUnusedIdle as long as none is open.
	maxUnused     = 256
	maxUnusedIdle = 32
	// keptBlock is how large the memory of a head is that is kept for another one.
	keptBlock = 8 << 10
)

// take returns a stream for a call.
func (s *Session) take() *stream {
	n := len(s.unused)
	if n == 0 {
		return newStream(s)
	}
	x := s.unused[n-1]
	s.unused[n-1] = nil
	s.unused = s.unused[:n-1]
	s.account.setAside(-x.charged)
	x.spare = false
	return x
}

// free takes back a stream that is used for no call any more.
func (s *Session) free(x *stream) {
	x.plan, x.pool, x.recorder = nil, nil, nil
	if x.blocked {
		x.blocked = false
		s.blocked = slices.DeleteFunc(s.blocked, func(other *stream) bool { return other == x })
	}
	if len(s.unused) >= maxUnused || s.over {
		x.discharge()
		return
	}
	for b := range x.blocks {
		shrink(b)
	}
	x.charge()
	if s.account.crowded() {
		x.discharge()
		return
	}
	s.account.setAside(x.charged)
	x.spare = true
	s.unused = append(s.unused, x)
}

// trim gives up most of the streams that are kept.
func (s *Session) trim() {
	if len(s.unused) <= maxUnusedIdle {
		return
	}
	for _, x := range s.unused[maxUnusedIdle:] {
		x.discharge()
	}
	clear(s.unused[maxUnusedIdle:])
	s.unused = s.unused[:maxUnusedIdle]
}

// returnMemory gives back what the session, which is over, has of the account.
func (s *Session) returnMemory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.unused {
		x.discharge()
	}
	s.unused = nil
	s.in.discharge()
	s.account.leave()
}

// shrink gives up a block's memory if it is too large to be kept.
func shrink(b *http2.Block) {
	if b.Memory() > keptBlock {
		*b = http2.Block{}
	}
}

// blocks are those of the stream and of its attempts.
func (x *stream) blocks(yield func(*http2.Block) bool) {
	if !yield(&x.head) || !yield(&x.trailers) {
		return
	}
	for t := range x.all {
		if !yield(&t.head) || !yield(&t.trailers) {
			return
		}
	}
}

// charge accounts for the memory of the stream's heads.
func (x *stream) charge() {
	n := 0
	for b := range x.blocks {
		n += b.Memory()
	}
	x.s.account.add(n - x.charged)
	x.charged = n
}

// discharge accounts for a stream that is given up.
func (x *stream) discharge() {
	if x.spare {
		x.s.account.setAside(-x.charged)
		x.spare = false
	}
	x.s.account.add(-x.charged)
	x.charged = 0
}

// shed ends a stream if its pod holds more memory than any may. from says who does not take what it is sent.
func (x *stream) shed(from drive.Side, b *batch) {
	s := x.s
	if x.phase == over || !s.account.exhausted() {
		return
	}
	s.driver.Flooded(from, drive.FloodStalled)
	s.reset(x, http2.EnhanceYourCalm, b)
	x.clientGone(http2.Cancel, routes.DetailMemory, b)
}
