package upstream

import "time"

// Lease is the right to one exchange on a connection. The zero value is none. It ends with Release.
type Lease struct {
	*Conn
	nth    int // among the exchanges of the connection, from 1 on
	pinned bool
}

// Reused reports whether the connection has served an exchange before this one.
func (l Lease) Reused() bool { return l.nth > 1 }

// Report tells how the exchange ended, for balancing: failed means that the host did not do its work (a reset, a response of 5xx or
// 429). It is called once, before Release. A success at a host in good health takes no lock.
//
// Pinned calls are not counted: they cannot avoid a failing host, so the failures of one pod's pinned calls would steer every other
// pod away from it.
func (l Lease) Report(now time.Time, failed bool) {
	hc := l.to
	if !l.pinned {
		hc.host.report(now, failed)
	}
	if !failed {
		l.pool.connected(hc)
	}
}

// Release ends the exchange. keep says that the connection is fit for another one: the response was read to its end, nothing is left
// over, both sides agreed to go on.
func (l Lease) Release(now time.Time, keep bool) {
	if l.detached {
		_ = l.Close()
		return
	}
	l.pool.release(now, l.Conn, keep && l.idleLimit >= 0)
}

// ReleaseUnused gives back a new connection on which nothing was sent: it has proved alive to no client.
func (l Lease) ReleaseUnused(now time.Time) {
	l.client = 0
	l.Release(now, true)
}

// Detach takes the connection out of its pool for good: it counts against no limit any more, and closing it is the holder's
// business, by Release. It is for connections that have turned into something else than a carrier of requests.
func (l Lease) Detach(now time.Time) {
	if l.detached {
		return
	}
	l.detached = true
	l.pool.vacate(now, l.to)
}
