package distribute

import (
	"slices"

	"fairlead.dev/fairlead/internal/wire"
)

const (
	// minPatched is the smallest payload that is worth patching.
	minPatched = 512
	// maxHistory and maxHistoryBytes bound the former versions that are kept of a destination: agents that answer slowly hold one of the
	// last few.
	maxHistory      = 4
	maxHistoryBytes = 1 << 20
)

// history is the former versions of a destination, latest last, and the deltas from them to the present one. An endpoint that comes or goes
// changes little of a long list, and every node that calls the Service gets the change. Guarded by Store.mu.
type history struct {
	versions []*wire.Resource
	deltas   map[step]*wire.Delta
}

// step is from one version to another. Agents with different features may hold the same former version and be sent different new ones.
type step struct{ from, to wire.Version }

// replace records that next, which may be nil, takes the place of last.
func (h *history) replace(last, next *wire.Resource) {
	h.deltas = nil
	if next == nil || len(next.Payload) < minPatched {
		h.versions = nil
		return
	}
	if last != nil {
		h.versions = append(h.versions, last)
	}
	size := 0
	for i, r := range slices.Backward(h.versions) {
		if size += len(r.Payload); size > maxHistoryBytes || len(h.versions)-i > maxHistory {
			h.versions = slices.Delete(h.versions, 0, i+1)
			return
		}
	}
}

// delta returns the delta to an agent's form of the present version from the version that it holds, or nil if that is not known.
func (h *history) delta(from wire.Version, to *wire.Resource, understood wire.Features) *wire.Delta {
	key := step{from, to.Version}
	if d := h.deltas[key]; d != nil {
		return d
	}
	for _, r := range h.versions {
		if form := r.For(understood); form.Version == from {
			if h.deltas == nil {
				h.deltas = map[step]*wire.Delta{}
			}
			h.deltas[key] = wire.NewDelta(form, to)
			return h.deltas[key]
		}
	}
	return nil
}
