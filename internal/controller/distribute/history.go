package distribute

import (
	"slices"

	"fairlead.dev/fairlead/internal/wire"
)

const (
	// minPatched is the smallest payload that is worth patching.
	minPatched = 512
	// maxHistory and maxFormerBytes bound the former versions that are kept of a destination: agents that answer slowly hold one of the
	// last few.
	maxHistory      = 4
	maxHistoryBytes = 1 << 20
)

// history is the versions that a destination had, latest last, and the ways from them to the present one. An endpoint that comes or goes
// changes little of a long list, and every node that calls the Service gets the change. Guarded by Store.mu.
type history struct {
	versions []*wire.Resource
	deltas   map[wire.Version]*wire.Delta // by former version
}

// replace takes note that next, which may be nil, takes the place of last.
func (f *history) replace(last, next *wire.Resource) {
	f.deltas = nil
	if next == nil || len(next.Payload) < minPatched {
		f.versions = nil
		return
	}
	if last != nil {
		f.versions = append(f.versions, last)
	}
	size := 0
	for i, r := range slices.Backward(f.versions) {
		if size += len(r.Payload); size > maxHistoryBytes || len(f.versions)-i > maxHistory {
			f.versions = slices.Delete(f.versions, 0, i+1)
			return
		}
	}
}

// delta returns the way from a former version to the present one, or nil.
func (f *history) delta(from wire.Version, to *wire.Resource) *wire.Delta {
	if d := f.deltas[from]; d != nil {
		return d
	}
	for _, r := range f.versions {
		if r.Version == from {
			if f.deltas == nil {
				f.deltas = map[wire.Version]*wire.Delta{}
			}
			f.deltas[from] = wire.NewDelta(r, to)
			return f.deltas[from]
		}
	}
	return nil
}
