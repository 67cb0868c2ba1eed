package dns

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// DefaultFile says which servers to ask.
	DefaultFile = "/etc/resolv.conf"
	// DefaultNames is how many names are kept.
	DefaultNames = 1024
	// maxUnderWay is how many names are looked up at a time.
	maxUnderWay = 64
	// maxEach is how many of them one asker's may be.
	maxEach = maxUnderWay / 4
	// maxLookup is how long a look-up may take.
	maxLookup = 3 * time.Second

	// An answer is believed for as long as its records say, within these bounds: a name that changes with every question is not asked
	// for with every retry, and one that never changes is looked at now and then.
	minTTL = time.Second
	maxTTL = 5 * time.Minute
	// negativeFor is how long it is believed at most that a name has no addresses, and failedFor that it cannot be looked up.
	negativeFor = 5 * time.Second
	failedFor   = time.Second
	// staleFor is how long addresses are known after they should have been looked up again, for when there is no room for that (as in RFC 8767).
	staleFor = 5 * time.Minute
)

var (
	// ErrBusy: too many names are being looked up.
	ErrBusy = errors.New("names: too many look-ups under way")
	// ErrClosed: the resolver is closed.
	ErrClosed    = errors.New("names: closed")
	errPanicked  = errors.New("names: panic")
	errNoServers = errors.New("names: no name servers")
)

// Options configure a Resolver. The zero value is that of an agent in its pod.
type Options struct {
	// File has the name servers in the form of resolv.conf(5); default: DefaultFile.
	File string
	// Servers are asked instead of those in File.
	Servers []netip.AddrPort
	// MaxNames is how many names are kept; default: DefaultNames.
	MaxNames int
	// Panicked reports a panic in a look-up, which has failed; nil: nobody wants to know.
	Panicked func(what any, stack []byte)
}

// answer is what is known of a name.
type answer struct {
	addrs []netip.Addr // each once, in the order of the DNS, those of IPv4 first
	until time.Time    // until when it may be believed
}

// Resolver looks names up. Its methods may be called by many goroutines.
type Resolver struct {
	// immutable after New
	options Options
	ctx     context.Context // ends with Close; look-ups are not cancelled with the one who asked first
	cancel  context.CancelFunc
	ask     func(context.Context, []netip.AddrPort, question) (records, error)

	lookups sync.WaitGroup

	mu sync.Mutex
	// guarded by mu
	names    map[string]*entry
	used     list.List // of *entry, the one used last in front
	underWay int
	askers   map[string]*asker
	closed   bool
}

// asker is one of those who have names looked up. Where there is no room it is the one with the most names whose are forgotten, so that nobody's many
// names cost others theirs.
type asker struct{ underWay, names int }

// entry is a name that was looked up, or is being looked up.
type entry struct {
	name  string
	asker string // who was the first to ask
	place *list.Element
	done  chan struct{} // closed when what follows is there
	answer
	err error
}

// New returns a resolver that knows no names yet.
func New(o Options) *Resolver {
	if o.File == "" {
		o.File = DefaultFile
	}
	if o.MaxNames <= 0 {
		o.MaxNames = DefaultNames
	}
	r := &Resolver{options: o, names: map[string]*entry{}, askers: map[string]*asker{}, ask: ask}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends what is under way and waits for it.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.lookups.Wait()
}

// Lookup returns the addresses of a name, which is taken as an absolute one, in lower case. asker is who wants to know, of whom each has only so many
// look-ups under way; empty: whoever may have all. It waits no longer than ctx allows; the look-up
// goes on for those who ask later, and what is known already is returned though ctx has ended. A name without addresses is an answer without any.
// The addresses may be believed until a time, which has passed already if they should be looked up again and too many others are; they must
// not be changed.
func (r *Resolver) Lookup(ctx context.Context, asker, name string) (addrs []netip.Addr, until time.Time, err error) {
	e, err := r.find(time.Now(), asker, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	if e.ended() { // whatever ctx says
		return e.addrs, e.until, e.err
	}
	select {
	case <-e.done:
		return e.addrs, e.until, e.err
	case <-ctx.Done():
		return nil, time.Time{}, context.Cause(ctx)
	}
}

// find returns the entry of a name that can be believed, or one for which a look-up is under way; while too many are, addresses that could be
// believed not long ago.
func (r *Resolver) find(now time.Time, asker, name string) (*entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.names[name]
	if known != nil && (!known.ended() || now.Before(known.until)) {
		r.used.MoveToFront(known.place)
		return known, nil
	}
	switch {
	case r.closed:
		return nil, ErrClosed
	case r.underWay >= maxUnderWay || asker != "" && r.of(asker).underWay >= maxEach:
		if known != nil && len(known.addrs) > 0 && now.Before(known.until.Add(staleFor)) {
			return known, nil
		}
		return nil, ErrBusy
	case known != nil:
		r.forget(known) // which makes room
	case !r.makeRoom():
		return nil, ErrBusy
	}
	e := &entry{name: name, asker: asker, done: make(chan struct{})}
	r.begin(e)
	return e, nil
}

// begin looks an entry up. It expects the lock.
func (r *Resolver) begin(e *entry) {
	e.place = r.used.PushFront(e)
	r.names[e.name] = e
	a := r.askers[e.asker]
	if a == nil {
		a = &asker{}
		r.askers[e.asker] = a
	}
	a.names++
	a.underWay++
	r.underWay++
	r.lookups.Go(func() { r.lookUp(e) })
}

// of is what an asker has. It expects the lock.
func (r *Resolver) of(who string) asker {
	if a := r.askers[who]; a != nil {
		return *a
	}
	return asker{}
}

func (e *entry) ended() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// forget and makeRoom expect the lock. makeRoom reports whether one more name can be kept: those being looked up are not forgotten.
func (r *Resolver) forget(e *entry) {
	r.used.Remove(e.place)
	delete(r.names, e.name)
	if a := r.askers[e.asker]; a.names == 1 {
		delete(r.askers, e.asker)
	} else {
		a.names--
	}
}

func (r *Resolver) makeRoom() bool {
	if len(r.names) < r.options.MaxNames {
		return true
	}
	var last *entry
	for at := r.used.Back(); at != nil; at = at.Prev() {
		if e := at.Value.(*entry); e.ended() && (last == nil || r.of(e.asker).names > r.of(last.asker).names) {
			last = e
		}
	}
	if last == nil {
		return false
	}
	r.forget(last)
	return true
}

// lookUp fills an entry.
func (r *Resolver) lookUp(e *entry) {
	e.err = r.guard(func() (err error) {
		ctx, cancel := context.WithTimeout(r.ctx, maxLookup)
		defer cancel()
		e.answer, err = r.resolve(ctx, e.name)
		return err
	})
	if errors.Is(e.err, errPanicked) {
		e.answer = answer{until: time.Now().Add(failedFor)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay--
	r.askers[e.asker].underWay--
	close(e.done)
}

// guard calls f and has a panic be its error: what anybody sends is read there, and the goroutine is nobody's who could deal with it.
func (r *Resolver) guard(f func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%w: %v", errPanicked, what)
			if r.options.Panicked != nil {
				r.options.Panicked(what, debug.Stack())
			}
		}
	}()
	return f()
}
