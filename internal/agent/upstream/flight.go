package upstream

import (
	"context"
	"errors"
	"slices"

	"fairlead.dev/fairlead/internal/agent/call"
)

// DefaultStreams is how many exchanges a connection is expected to carry whose server has not said yet, where the policy does not say less.
const DefaultStreams = 100

// flight is a connection being made that more than one multiplexed request waits for: those that arrive together would else have a
// connection made for each. It is guarded by the pool's lock.
type flight struct {
	to     *hostConns
	joined []*Request // those that wait beside the one that makes the connection
	room   int        // for how many more
}

// join has a request wait for a connection that is being made, if there is one with room. This and the functions below expect the lock.
func (hc *hostConns) join(r *Request) bool {
	for _, f := range hc.flights {
		if f.room > 0 {
			f.room--
			f.joined = append(f.joined, r)
			r.to, r.state, r.conn, r.flight, r.err = hc, joined, nil, f, nil
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

// takeOff begins a flight with the request that makes its connection.
func (p *Pool) takeOff(hc *hostConns, r *Request) {
	f := &flight{to: hc, room: min(hc.expected(), p.streamLimit()) - 1}
	hc.flights = append(hc.flights, f)
	r.flight = f
}

// leave takes a request that gives up from those that wait.
func (f *flight) leave(r *Request) {
	f.joined = slices.DeleteFunc(f.joined, func(other *Request) bool { return other == r })
	f.room++
	f.to.host.outstanding.Add(-1)
}

// end takes a flight from those that can be joined, and returns who waited.
func (f *flight) end() []*Request {
	f.to.flights = slices.DeleteFunc(f.to.flights, func(other *flight) bool { return other == f })
	waited := f.joined
	f.joined = nil
	return waited
}

// land serves those that waited for a connection: on it, as many as it can carry, and the others by another one to the same host.
func (p *Pool) land(f *flight) {
	hc := f.to
	for _, r := range f.end() {
		r.flight = nil
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
			p.takeOff(hc, r)
			r.Wake()
		default: // it has had a place already, so that the queue's bound does not count
			hc.host.outstanding.Add(-1)
			p.parkAgain(r)
		}
	}
}

// crash tells those that waited for a connection that it cannot be made. Where only the one who made it has given up, the others have it
// made anew.
func (p *Pool) crash(ctx context.Context, f *flight, err error) {
	kind := FailureOf(err)
	ownTime := ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(context.Cause(ctx), ErrConnectTimeout)
	if kind != call.ConnectFailed && kind != call.ConnectTimeout && kind != call.TLSFailed || ownTime {
		p.land(f)
		return
	}
	for _, r := range f.end() {
		r.state, r.err, r.flight = granted, err, nil
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

// endFlight serves those who wait for a connection that is not to be shared after all, or can be from now on.
func (p *Pool) endFlight(c *Conn) {
	if f := c.flight; f != nil {
		c.flight = nil
		p.land(f)
	}
}
