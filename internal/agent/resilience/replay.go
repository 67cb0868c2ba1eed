package resilience

import "sync/atomic"

// ReplayMemory accounts for the memory that replay buffers of all calls of an agent hold together (rule 19). A
// call that gets no more streams on without replay.
type ReplayMemory struct {
	// immutable after NewReplayMemory
	limit int64

	// atomic
	used   atomic.Int64
	shares atomic.Int64 // how many there are
	capped atomic.Uint64
}

// NewReplayMemory returns an account of limit bytes.
func NewReplayMemory(limit int64) *ReplayMemory { return &ReplayMemory{limit: limit} }

// Reserve takes n bytes, or none if they are not there.
func (m *ReplayMemory) Reserve(n int64) bool {
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
func (m *ReplayMemory) Release(n int64) { m.used.Add(-n) }

// Used returns the bytes reserved now.
func (m *ReplayMemory) Used() int64 { return m.used.Load() }

// Capped counts the reservations that were refused.
func (m *ReplayMemory) Capped() uint64 { return m.capped.Load() }

// ReplayShare is what one pod reserves of it. A pod may have all of one half, and of the other half no more than its equal part of the whole
// allows: so what one pod sends keeps no other pod's bodies from being kept.
type ReplayShare struct {
	of   *ReplayMemory // immutable
	used atomic.Int64
}

// Share returns the account of one more pod, which is to be left when the pod sends nothing any more and has nothing reserved.
func (m *ReplayMemory) Share() *ReplayShare {
	m.shares.Add(1)
	return &ReplayShare{of: m}
}

// Leave ends the use of the share.
func (s *ReplayShare) Leave() { s.of.shares.Add(-1) }

// Reserve takes n bytes, or none if they are not there for the pod.
func (s *ReplayShare) Reserve(n int64) bool {
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
func (s *ReplayShare) Release(n int64) {
	s.used.Add(-n)
	s.of.Release(n)
}
