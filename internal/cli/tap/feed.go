package tap

import (
	"sync"

	"fairlead.dev/fairlead/internal/liveapi"
)

// maxWaiting bounds the calls that wait until the view takes them.
const maxWaiting = 4096

// feed takes lines from agents and hands them to the view in batches, so that a view is not drawn for each of thousands.
type feed struct {
	mu sync.Mutex
	// guarded by mu
	waiting []liveapi.TapLine
	dropped uint64 // by agents, or here
}

// add takes a line.
func (f *feed) add(l liveapi.TapLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped += l.Dropped
	switch {
	case l.Call == nil:
	case len(f.waiting) >= maxWaiting:
		f.dropped++
	default:
		f.waiting = append(f.waiting, l)
	}
}

// take returns what has come since it was called last.
func (f *feed) take() (lines []liveapi.TapLine, dropped uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines, dropped = f.waiting, f.dropped
	f.waiting, f.dropped = nil, 0
	return lines, dropped
}
