package liveapi

import (
	"net/netip"
	"slices"
	"sync"
)

// room is what all who come from elsewhere have together, and so many of one address. Whoever comes is let in: beyond what one address may have in the place of its
// oldest, and beyond that of all in the place of the oldest of those addresses that have most. So nobody who takes room and keeps it leaves none for others, not even for
// those who come from the same address, as pods of a node do where it translates theirs.
type room struct {
	all, ofOne int

	mu sync.Mutex
	// guarded by mu
	entered uint64
	in      int
	of      map[netip.Addr][]*place // the oldest first; none is empty
}

// place is what one has of a room.
type place struct {
	from    netip.Addr
	entered uint64
	end     func()
}

func newRoom(all, ofOne int) *room {
	return &room{all: all, ofOne: ofOne, of: map[netip.Addr][]*place{}}
}

// enter lets one in. Its end is called, before leave returns, if it has to make room for another; it must not block.
func (r *room) enter(from netip.Addr, end func()) *place {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.of[from]) >= r.ofOne:
		r.clear(r.of[from][0])
	case r.in >= r.all:
		r.clear(r.oldestOfMost())
	}
	r.entered++
	p := &place{from: from, entered: r.entered, end: end}
	r.in++
	r.of[from] = append(r.of[from], p)
	return p
}

// leave gives a place back, unless it was taken.
func (r *room) leave(p *place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(p)
}

// oldestOfMost returns the oldest of those of the addresses that have most.
func (r *room) oldestOfMost() *place {
	var most []*place
	for _, of := range r.of {
		if len(of) > len(most) || len(of) == len(most) && of[0].entered < most[0].entered {
			most = of
		}
	}
	return most[0]
}

func (r *room) clear(p *place) {
	r.remove(p)
	p.end()
}

// remove takes a place out, once.
func (r *room) remove(p *place) {
	i := slices.Index(r.of[p.from], p)
	if i < 0 {
		return
	}
	r.in--
	if r.of[p.from] = slices.Delete(r.of[p.from], i, i+1); len(r.of[p.from]) == 0 {
		delete(r.of, p.from)
	}
}
