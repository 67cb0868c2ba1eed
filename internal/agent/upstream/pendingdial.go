package upstream

import (
	"context"
	"errors"
	"slices"

	"fairlead.dev/fairlead/internal/agent/call"
)

// DefaultStreams is how many exchanges a connection is expected to carry whose server has not said yet, where the policy does not say less.
const DefaultStreams = 100

// pendingDial is a connection being made that more than one multiplexed request waits for: those that arrive together would else have a
// connection made for each. It is guarded by the pool's lock.
type pendingDial struct {
	to     *hostConns
	joined []*Request // those that wait beside the one that makes the connection
	room   int        // for how many more
}

// join has a request wait for a connection that is being made, if there is one with room. This and the functions below expect the lock.
func (hc *hostConns) join(r *Request) bool {
	for _, f := range hc.pendingDials {
		if f.room > 0 {
			f.room--
			f.joined = append(f.joined, r)
			r.to, r.state, r.conn, r.pending, r.err = hc, joined, nil, f, nil
			return true
		}
	}
	return false
}

// expected is how many exchanges a new connection to the host can carry, going by the last one.
func (hc *hostConns) expected() int {
	if hc.streams > 0 {
		return hc.streams
	}
	return DefaultStreams
}

// beginDial begins a pending dial with the request that makes its connection.
func (p *Pool) beginDial(hc *hostConns, r *Request) {
	f := &pendingDial{to: hc, room: min(hc.expected(), p.streamLimit()) - 1}
	hc.pendingDials = append(hc.pendingDials, f)
	r.pending = f
}

// divert has those who wait do so for a connection to another host.
func (f *pendingDial) divert(to *hostConns) {
	f.to.pendingDials = slices.DeleteFunc(f.to.pendingDials, func(other *pendingDial) bool { return other == f })
	n := int32(len(f.joined))
	f.to.host.outstanding.Add(-n)
	to.host.outstanding.Add(n)
	for _, r := range f.joined {
		r.to = to
		r.moved()
	}
	f.to = to
	to.pendingDials = append(to.pendingDials, f)
}

// leave takes a request that gives up from those that wait.
func (f *pendingDial) leave(r *Request) {
	f.joined = slices.DeleteFunc(f.joined, func(other *Request) bool { return other == r })
	f.room++
	f.to.host.outstanding.Add(-1)
}

// end takes a pending dial from those that can be joined, and returns who waited.
func (f *pendingDial) end() []*Request {
	f.to.pendingDials = slices.DeleteFunc(f.to.pendingDials, func(other *pendingDial) bool { return other == f })
	waited := f.joined
	f.joined = nil
	return waited
}

// finishDial serves those that waited for a connection: on it, as many as it can carry, and the others by another one to the same host.
func (p *Pool) finishDial(f *pendingDial) {
	hc := f.to
	for _, r := range f.end() {
		r.pending = nil
		switch {
		case len(hc.shared) > 0:
			r.state = granted
			p.leaseShared(r, hc.shared[len(hc.shared)-1])
			r.Wake()
		case hc.join(r):
		case !p.full(hc) && hc.barred == 0:
			r.state, r.conn = granted, nil
			p.open++
			hc.open++
			p.beginDial(hc, r)
			r.Wake()
		default: // it has had a place already, so that the queue's bound does not count
			hc.host.outstanding.Add(-1)
			p.parkAgain(r)
		}
	}
}

// failJoined tells those that waited for a connection that it cannot be made. Where only the one who made it has given up, the others have it
// made anew.
func (p *Pool) failJoined(ctx context.Context, f *pendingDial, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := FailureOf(err)
	ownTime := ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(context.Cause(ctx), ErrConnectTimeout)
	if kind != call.ConnectFailed && kind != call.ConnectTimeout && kind != call.TLSFailed || ownTime {
		p.finishDial(f)
		return
	}
	for _, r := range f.end() {
		r.state, r.err, r.pending = granted, err, nil
		f.to.host.outstanding.Add(-1)
		r.Wake()
	}
}

// Err is why the connection could not be made that a request waited for, when Redeem has answered Failed.
func (r *Request) Err() error { return r.err }

// failed ends a request whose connection could not be made by the one who made it.
func (p *Pool) failed(r *Request) (Answer, Lease) {
	r.state = unused
	return Failed, Lease{}
}

// finishPendingDial serves those who wait for a connection that is not to be shared after all, or can be from now on.
func (p *Pool) finishPendingDial(c *Conn) {
	if f := c.pending; f != nil {
		c.pending = nil
		p.finishDial(f)
	}
}
