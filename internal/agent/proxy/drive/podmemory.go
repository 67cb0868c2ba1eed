package drive

import "fairlead.dev/fairlead/internal/agent/resilience"

// PodMemory is one pod's part of the memory that pods share.
type PodMemory struct {
	// Replay keeps bodies for another attempt.
	Replay *resilience.MemoryShare
	// Requests and Responses are of one share, for heads of HTTP/1 that are larger than most.
	Requests, Responses HeadMemory
}

// NewPodMemory returns the part of one more pod. flooded is called when it does not suffice for a head; it must not block.
func NewPodMemory(replay, heads *resilience.Memory, flooded func(Side, Flood)) *PodMemory {
	share := heads.Share()
	return &PodMemory{Replay: replay.Share(), Requests: HeadMemory{share, ClientSide, flooded}, Responses: HeadMemory{share, ServerSide, flooded}}
}

// Leave ends the use of it.
func (m *PodMemory) Leave() {
	m.Replay.Leave()
	m.Requests.share.Leave()
}

// HeadMemory is for heads that come from one side. It implements http1.Memory.
type HeadMemory struct {
	share   *resilience.MemoryShare
	from    Side
	flooded func(Side, Flood)
}

// Reserve takes n bytes, or none if they are not there for the pod, which is counted as a flood.
func (m *HeadMemory) Reserve(n int64) bool {
	ok := m.share.Reserve(n)
	if !ok {
		m.flooded(m.from, FloodHeadMemory)
	}
	return ok
}

// Release gives n reserved bytes back.
func (m *HeadMemory) Release(n int64) { m.share.Release(n) }
