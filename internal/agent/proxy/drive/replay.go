package drive

import (
	"sync"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

// replayChunk is the unit in which request bodies are kept.
const replayChunk = 16 << 10

var replayChunks = sync.Pool{New: func() any { return new([replayChunk]byte) }}

// Replay is what is kept of a request's body for another attempt, within the bounds of the policy and of the agent's memory. The
// zero value needs Init.
type Replay struct {
	memory *resilience.MemoryShare

	keeping  bool // chunks hold everything that was sent so far
	lost     bool // a part of the body was sent that is not kept
	chunks   []*[replayChunk]byte
	kept     int64 // bytes in chunks
	reserved int64
	limit    int64
}

// Init prepares r for use. What it keeps counts against memory; r keeps nothing now.
func (r *Replay) Init(memory *resilience.MemoryShare) { r.memory = memory }

// Begin prepares r for the body of a request, of which the policy keeps no more than limit bytes.
func (r *Replay) Begin(limit int64) {
	r.keeping, r.lost, r.kept, r.limit = false, false, 0, limit
}

// Start has what is sent from now on kept, if on says so. It goes on if it was started before.
func (r *Replay) Start(on bool) { r.keeping = r.keeping || on }

// Limit is how many bytes the policy keeps of a body.
func (r *Replay) Limit() int64 { return r.limit }

// Lost reports whether a part of the body was sent that is not kept.
func (r *Replay) Lost() bool { return r.lost }

// Keep keeps a piece of the body that is sent, as long as that is possible (rules 18 and 19).
func (r *Replay) Keep(p []byte) {
	if len(p) == 0 || r.keeping && r.keep(p) {
		return
	}
	r.lost = true
}

// keep appends to what is kept. It reports false when the bounds do not allow it; everything kept is dropped then.
func (r *Replay) keep(p []byte) bool {
	if r.kept+int64(len(p)) > r.limit {
		r.Release()
		return false
	}
	for len(p) > 0 {
		at := int(r.kept % replayChunk)
		if at == 0 {
			if !r.memory.Reserve(replayChunk) {
				r.Release()
				return false
			}
			r.reserved += replayChunk
			r.chunks = append(r.chunks, replayChunks.Get().(*[replayChunk]byte))
		}
		n := copy(r.chunks[len(r.chunks)-1][at:], p)
		r.kept += int64(n)
		p = p[n:]
	}
	return true
}

// Pieces is how many pieces are kept.
func (r *Replay) Pieces() int { return len(r.chunks) }

// Kept is how many bytes are kept.
func (r *Replay) Kept() int64 { return r.kept }

// From returns what is kept from an offset below Kept on, up to the end of a piece.
func (r *Replay) From(offset int64) []byte {
	return r.Piece(int(offset / replayChunk))[offset%replayChunk:]
}

// Piece returns one of them, the first being 0.
func (r *Replay) Piece(i int) []byte {
	return r.chunks[i][:min(r.kept-int64(i)*replayChunk, replayChunk)]
}

// Release gives back what is kept.
func (r *Replay) Release() {
	for i, c := range r.chunks {
		replayChunks.Put(c)
		r.chunks[i] = nil
	}
	r.chunks = r.chunks[:0]
	if r.reserved > 0 {
		r.Forfeit()
	}
	r.keeping, r.kept = false, 0
}

// Forfeit gives back the account of what is kept, but not the memory, which may still be in use after a panic.
func (r *Replay) Forfeit() {
	r.memory.Release(r.reserved)
	r.reserved = 0
}
