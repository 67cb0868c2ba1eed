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
	now     *reading
}

// reading is how many agents are read, and why others are not.
type reading struct {
	read   int
	unread []error
}

// state takes how it stands (ask.Follow).
func (f *feed) state(read int, unread []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = &reading{read, unread}
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

// take returns what has come since it was called last. now is nil if nothing has changed about what is read.
func (f *feed) take() (lines []liveapi.TapLine, dropped uint64, now *reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines, dropped, now = f.waiting, f.dropped, f.now
	f.waiting, f.dropped, f.now = nil, 0, nil
	return lines, dropped, now
}
