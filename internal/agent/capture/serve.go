package capture

import (
	"net"
	"runtime/debug"
)

// accept hands an accepted connection to the handler, on a goroutine of its own.
func (d *podCapture) accept(l *listeners, conn *net.TCPConn) {
	m := d.manager
	m.accepted.Add(1)
	if !d.conns.begin(conn) {
		resetAndClose(conn)
		return
	}
	m.load.add()
	go func() { // waited for by connections.abort
		defer func() {
			if p := recover(); p != nil {
				m.panics.Add(1)
				m.options.Log.Error("connection handler panicked", "panic", p, "stack", string(debug.Stack()))
				resetAndClose(conn)
			}
			_ = conn.Close() // handlers have done that themselves
			m.load.remove()
			d.conns.end(conn)
		}()
		d.serve(l, conn)
	}()
}

func (d *podCapture) serve(l *listeners, conn *net.TCPConn) {
	m := d.manager
	original, err := m.options.Mechanism.Original(conn)
	if err != nil {
		resetAndClose(conn)
		return
	}
	if l.isListener(original) {
		m.loops.Add(1)
		return
	}
	if d.foreign.Load() { // only where somebody might send a connection of the agent's back to it is it worth asking
		if own, err := l.own(conn, original); err == nil && own {
			m.loops.Add(1)
			resetAndClose(conn)
			return
		}
	}
	d.conns.redirected(conn, original)
	m.options.Handler.ServeCaptured(d.sandbox.Pod, conn, original)
}

// acceptFailed is told why a connection could not be accepted; it stays in the queue.
func (d *podCapture) acceptFailed(err error) {
	if exhausted(err) {
		d.manager.load.exhaust()
	}
}
