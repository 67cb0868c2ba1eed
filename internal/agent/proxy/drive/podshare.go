package drive

import (
	"fairlead.dev/fairlead/internal/agent/proxy/turns"
	"fairlead.dev/fairlead/internal/agent/resilience"
)

// Shared is what the pods of a node share.
type Shared struct {
	// Replay is for bodies that are kept for another attempt, Heads for heads of HTTP/1 that are larger than most.
	Replay, Heads *resilience.Memory
	Turns         *turns.Turns
	// Watches is where calls look whether somebody wants to watch one; nil: nobody does.
	Watches *Watches
}

// PodShare is one pod's part of that.
type PodShare struct {
	Replay *resilience.MemoryShare
	// Requests and Responses are of one share of Heads.
	Requests, Responses HeadMemory
	// Turns are its turns at the processors. Turn is Turns.Enter.
	Turns *turns.Pod
	Turn  func()
	// Watches is Shared.Watches.
	Watches *Watches
}

// NewPodShare returns the part of one more pod. flooded is called when its memory does not suffice for a head; it must not block.
func NewPodShare(of Shared, flooded func(Side, Flood)) *PodShare {
	heads, pod := of.Heads.Share(), of.Turns.Pod()
	return &PodShare{
		Replay: of.Replay.Share(), Requests: HeadMemory{heads, ClientSide, flooded}, Responses: HeadMemory{heads, ServerSide, flooded}, Turns: pod, Turn: pod.Enter, Watches: of.Watches,
	}
}

// Leave ends the use of it.
func (s *PodShare) Leave() {
	s.Replay.Leave()
	s.Requests.share.Leave()
	s.Turns.Leave()
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
