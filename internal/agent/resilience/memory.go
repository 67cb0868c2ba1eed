package resilience

import "sync/atomic"

// Memory accounts for memory that all calls of an agent take together for one purpose: bodies kept for another attempt (rule 19), heads that
// are larger than most (rule 30). Who gets no more of it does without.
type Memory struct {
	// immutable after NewMemory
	limit int64

	// atomic
	used   atomic.Int64
	shares atomic.Int64 // how many there are
	capped atomic.Uint64
}

// NewMemory returns an account of limit bytes.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit} }

// Reserve takes n bytes, or none if they are not there.
func (m *Memory) Reserve(n int64) bool {
	for {
		used := m.used.Load()
		if n > m.limit-used {
			m.capped.Add(1)
			return false
		}
		if m.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Release gives n reserved bytes back.
func (m *Memory) Release(n int64) { m.used.Add(-n) }

// Used returns the bytes reserved now.
func (m *Memory) Used() int64 { return m.used.Load() }

// Capped counts the reservations that were refused.
func (m *Memory) Capped() uint64 { return m.capped.Load() }

// MemoryShare is what one pod reserves of it. A pod may have all of one half, and of the other half no more than its equal part of the whole
// allows: so what one pod sends leaves the others what they need.
type MemoryShare struct {
	of   *Memory // immutable
	used atomic.Int64
}

// Share returns the account of one more pod, which is to be left when the pod sends nothing any more and has nothing reserved.
func (m *Memory) Share() *MemoryShare {
	m.shares.Add(1)
	return &MemoryShare{of: m}
}

// Leave ends the use of the share.
func (s *MemoryShare) Leave() { s.of.shares.Add(-1) }

// Reserve takes n bytes, or none if they are not there for the pod.
func (s *MemoryShare) Reserve(n int64) bool {
	m := s.of
	used := s.used.Add(n)
	if used > m.limit/max(m.shares.Load(), 1) && m.used.Load()+n > m.limit/2 {
		s.used.Add(-n)
		m.capped.Add(1)
		return false
	}
	if !m.Reserve(n) {
		s.used.Add(-n)
		return false
	}
	return true
}

// Release gives n reserved bytes back.
func (s *MemoryShare) Release(n int64) {
	s.used.Add(-n)
	s.of.Release(n)
}
