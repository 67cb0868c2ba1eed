package wire

import (
	"fmt"
	"sync"
)

// Patch says how a payload is made from that of another version.
type Patch struct {
	Base   Version
	Pieces []Piece
}

// Piece is Length bytes of the base from Offset, followed by Insert.
type Piece struct {
	Offset, Length uint32
	Insert         []byte
}

const (
	// patchBlock is the shortest run of bytes that is looked for in the base. Twice an endpoint, so that a list of endpoints is found
	// again from the second one behind a change.
	patchBlock = 16
	// maxPieces bounds a patch; one with so many pieces saves nothing.
	maxPieces = 1 << 12
	// pieceOverhead is about what a piece adds to a message besides what it inserts.
	pieceOverhead = 12
)

// Delta leads from one version of a resource to another. The patch is made when it is first asked for, once for all agents.
type Delta struct {
	base, next *Resource
	once       sync.Once
	patch      *Patch
}

// NewDelta returns the delta from base to next, two versions of one resource.
func NewDelta(base, next *Resource) *Delta { return &Delta{base: base, next: next} }

// Patch returns the patch, or nil if the payload is not much larger.
func (d *Delta) Patch() *Patch {
	d.once.Do(func() {
		if p := patchOf(d.base, d.next); p.size() < len(d.next.Payload)/2 && len(p.Pieces) <= maxPieces {
			d.patch = p
		}
	})
	return d.patch
}

// size is about what the patch takes in a message.
func (p *Patch) size() int {
	n := VersionSize
	for i := range p.Pieces {
		n += pieceOverhead + len(p.Pieces[i].Insert)
	}
	return n
}

// patchOf cuts next into runs that base has too and what is between them. It looks base up by blocks at multiples of their length, so its
// time is proportional to the payloads, whatever they are.
func patchOf(base, next *Resource) *Patch {
	old, payload := base.Payload, next.Payload
	blocks := make(map[[patchBlock]byte]int, len(old)/patchBlock)
	for at := 0; at+patchBlock <= len(old); at += patchBlock {
		if key := [patchBlock]byte(old[at:]); blocks[key] == 0 {
			blocks[key] = at + 1 // zero is none
		}
	}
	p := &Patch{Base: base.Version}
	piece := Piece{}
	done := 0 // payload up to here is in pieces
	for at := 0; at+patchBlock <= len(payload); {
		found := blocks[[patchBlock]byte(payload[at:])]
		if found == 0 {
			at++
			continue
		}
		from, start := found-1, at
		for start > done && from > 0 && old[from-1] == payload[start-1] {
			from, start = from-1, start-1
		}
		n := at - start + patchBlock
		for from+n < len(old) && start+n < len(payload) && old[from+n] == payload[start+n] {
			n++
		}
		piece.Insert = payload[done:start]
		p.add(piece)
		piece = Piece{Offset: uint32(from), Length: uint32(n)}
		done = start + n
		at = done
	}
	piece.Insert = payload[done:]
	p.add(piece)
	return p
}

func (p *Patch) add(piece Piece) {
	if piece.Length > 0 || len(piece.Insert) > 0 {
		p.Pieces = append(p.Pieces, piece)
	}
}

// apply makes the payload.
func (p *Patch) apply(old []byte) ([]byte, error) {
	size := 0
	for i := range p.Pieces {
		piece := &p.Pieces[i]
		if uint64(piece.Offset)+uint64(piece.Length) > uint64(len(old)) {
			return nil, fmt.Errorf("%w: patch reaches beyond its base", ErrMalformed)
		}
		if size += int(piece.Length) + len(piece.Insert); size > MaxPayload {
			return nil, fmt.Errorf("%w: patch makes more than %d bytes", ErrMalformed, MaxPayload)
		}
	}
	out := make([]byte, 0, size)
	for i := range p.Pieces {
		piece := &p.Pieces[i]
		out = append(out, old[piece.Offset:piece.Offset+piece.Length]...)
		out = append(out, piece.Insert...)
	}
	return out, nil
}

// Whole returns r with its payload, which a patched resource makes from base, the version that is held; base may be nil.
func (r *Resource) Whole(base *Resource) (*Resource, error) {
	if r.Patch == nil {
		return r, nil
	}
	if base == nil || base.Version != r.Patch.Base {
		return nil, fmt.Errorf("%w: %s is a patch of a version that is not held", ErrMalformed, r.Ref)
	}
	payload, err := r.Patch.apply(base.Payload)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Ref, err)
	}
	whole, err := NewResource(r.Ref, payload)
	if err != nil {
		return nil, err
	}
	if whole.Version != r.Version {
		return nil, fmt.Errorf("%w: %s has not the content its version names", ErrMalformed, r.Ref)
	}
	return whole, nil
}
