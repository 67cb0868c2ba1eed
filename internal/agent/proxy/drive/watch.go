package drive

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Watchable is a call that begins, for who decides whether it is watched. What is in it is valid until that is decided.
type Watchable struct {
	Client *Client
	Route  *routes.Route // nil: no policy governs it
	Plan   *routes.Plan
	View   route.View
	GRPC   bool
}

// Watcher gets the steps of one call, and its end.
type Watcher interface {
	call.Observer
	// Done gets the call when it has ended, which is valid until it returns.
	Done(e *routes.Exchange)
	// Made reports whether the call was made to be watched.
	Made() bool
}

// Watches is where calls that begin see whether somebody wants to watch one. The zero Watches has nobody.
type Watches struct {
	want atomic.Pointer[func(w Watchable) Watcher]
}

// Want has calls that begin be passed to a function that returns who watches them, or nil. It must not block. nil ends that.
func (w *Watches) Want(f func(w Watchable) Watcher) {
	if f == nil {
		w.want.Store(nil)
		return
	}
	w.want.Store(&f)
}

// watched is a call that somebody watches.
type watched struct {
	by   Watcher
	call *call.Call
}

// Watch has a call be observed that begins, if somebody wants to watch it.
func (r *Record) Watch(c *call.Call, of Watchable) {
	if c.Observer != nil { // of the call before
		c.Observer = nil
	}
	if w := of.Client.Share.Watches; w != nil {
		if want := w.want.Load(); want != nil {
			r.watch(c, of, *want)
		}
	}
}

// watch is apart from Watch because of the stack that a connection keeps.
//
//go:noinline
func (r *Record) watch(c *call.Call, of Watchable, want func(w Watchable) Watcher) {
	if of.Route == nil {
		return
	}
	if by := want(of); by != nil {
		r.watched, c.Observer = &watched{by, c}, by
	}
}

// Watch has the call be observed, if somebody wants to watch it.
func (x *Exchange) Watch(v route.View, grpc bool) {
	x.Record.Watch(&x.Call, Watchable{Client: x.Client, Route: x.Route, Plan: x.Plan, View: v, GRPC: grpc})
}

//go:noinline
func (w *watched) attemptEnded(id call.AttemptID, a *routes.Attempt) {
	s := call.Step{
		At: time.Now(), What: call.Ended, Kind: a.Kind, Status: a.Status, GRPC: -1, Endpoint: a.Peer, For: a.Took, Reused: a.Reused, Detail: string(a.Detail),
	}
	if a.GRPC {
		s.GRPC = int(a.GRPCStatus)
	}
	w.call.Report(id, s)
}

//go:noinline
func (w *watched) ended(e *routes.Exchange) {
	e.Watched = w.by.Made()
	w.by.Done(e)
	w.call.Observer = nil
}

// The functions below report steps that a Call does not know of, if it has an observer.

// ObserveQueued reports that an attempt waits for a place in the pool.
func ObserveQueued(c *call.Call, now time.Time, id call.AttemptID) {
	if c.Observer != nil {
		observeWait(c, now, id, call.Queued)
	}
}

// ObserveLookup reports that an attempt waits for addresses.
func ObserveLookup(c *call.Call, now time.Time, id call.AttemptID) {
	if c.Observer != nil {
		observeWait(c, now, id, call.LooksUp)
	}
}

//go:noinline
func observeWait(c *call.Call, now time.Time, id call.AttemptID, what call.What) {
	c.Report(id, call.Step{At: now, What: what})
}

// ObserveChosen reports why the endpoint of an attempt was chosen. l is zero if its connection is still to be made.
func ObserveChosen(c *call.Call, now time.Time, id call.AttemptID, r *upstream.Request, l upstream.Lease) {
	if c.Observer != nil {
		observeChosen(c, now, id, r, l)
	}
}

//go:noinline
func observeChosen(c *call.Call, now time.Time, id call.AttemptID, r *upstream.Request, l upstream.Lease) {
	s := call.Step{At: now, What: call.Chosen, Endpoint: r.Host().Addr(), Reused: l.Conn != nil}
	if r.Choice != nil {
		s.Choice = r.Choice
	}
	c.Report(id, s)
}

// Made is a connection that was made for an attempt, which took so long.
type Made struct {
	Lease upstream.Lease
	Took  time.Duration
}

// ObserveConnected reports that the connection of an attempt was made.
func ObserveConnected(c *call.Call, now time.Time, id call.AttemptID, r *upstream.Request, m Made) {
	if c.Observer != nil {
		observeConnected(c, now, id, r, m)
	}
}

//go:noinline
func observeConnected(c *call.Call, now time.Time, id call.AttemptID, r *upstream.Request, m Made) {
	s := call.Step{At: now, What: call.Connected, Endpoint: m.Lease.Peer(), For: m.Took, Detail: m.Lease.Info().ALPN}
	if r.Choice != nil {
		s.Handshake = r.Choice.Handshake()
	}
	c.Report(id, s)
}
