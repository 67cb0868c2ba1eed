package resilience

import "sync/atomic"

// ReplayMemory accounts for the memory that replay buffers of all calls of an agent hold together (rule 19). A
// call that gets no more streams on without replay.
type ReplayMemory struct {
	// immutable after NewReplayMemory
	limit int64

	// atomic
	used   atomic.Int64
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
