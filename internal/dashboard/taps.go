package dashboard

import (
	"context"
	"net/url"
	"sync"

	"fairlead.dev/fairlead/internal/liveapi"
)

// taps reads calls from a source once for all viewers that ask for the same: an agent has few taps, which all who look at its calls share.
type taps struct {
	source Source

	mu sync.Mutex
	// guarded by mu
	open map[string]*tap // by query
}

// tap is what is read for one query, while it has viewers.
type tap struct {
	key   string
	stop  context.CancelFunc
	ended chan struct{} // closed when nothing comes any more

	mu sync.Mutex
	// guarded by mu
	viewers  map[*held]struct{}
	troubles []string // what cannot be read now; nil: nothing is known of that yet
}

func newTaps(s Source) *taps { return &taps{source: s, open: map[string]*tap{}} }

// join returns what a new viewer of a query is sent, and the tap that it leaves when it goes. The first viewer's ctx gives its values and not its
// end: that is when the last viewer leaves.
func (t *taps) join(ctx context.Context, q url.Values) (*tap, *held) {
	asked := url.Values{}
	for name := range q {
		if v := q.Get(name); v != "" {
			asked.Set(name, v)
		}
	}
	me, key := newHeld(), asked.Encode()
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.open[key]; of != nil {
		of.add(me)
		return of, me
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	of := &tap{key: key, stop: stop, ended: make(chan struct{}), viewers: map[*held]struct{}{me: {}}}
	t.open[key] = of
	go t.read(ctx, of, asked)
	return of, me
}

// read reads until ctx ends or nothing comes any more. The last viewer waits for it.
func (t *taps) read(ctx context.Context, of *tap, q url.Values) {
	defer close(of.ended)
	err := t.source.Calls(ctx, q, of.call, of.trouble)
	t.mu.Lock()
	t.forget(of)
	t.mu.Unlock()
	if err != nil {
		of.trouble([]string{err.Error()})
	}
}

// forget has the next viewer begin a tap of its own. The caller holds mu.
func (t *taps) forget(of *tap) {
	if t.open[of.key] == of {
		delete(t.open, of.key)
	}
}

// leave removes a viewer; with the last one the reading ends.
func (t *taps) leave(of *tap, me *held) {
	t.mu.Lock()
	last := of.remove(me)
	if last {
		t.forget(of)
	}
	t.mu.Unlock()
	if last {
		of.stop()
		<-of.ended
	}
}

// add has a viewer be sent what comes from now on, and what cannot be read.
func (t *tap) add(v *held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewers[v] = struct{}{}
	if t.troubles != nil {
		v.trouble(t.troubles)
	}
}

// remove removes a viewer, and reports whether it was the last one.
func (t *tap) remove(v *held) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.viewers, v)
	return len(t.viewers) == 0
}

// call hands a line to each viewer. None keeps the others waiting: what one does not take in time is dropped for it alone.
func (t *tap) call(l *liveapi.TapLine) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for v := range t.viewers {
		v.call(l)
	}
}

// trouble has all viewers be sent what cannot be read now. The list is not changed after that.
func (t *tap) trouble(all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.troubles = all
	for v := range t.viewers {
		v.trouble(all)
	}
}
