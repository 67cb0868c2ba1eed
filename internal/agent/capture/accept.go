package capture

import (
	"net/netip"
	"os"
	"runtime/debug"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/sockdiag"
	"fairlead.dev/fairlead/internal/agent/transport"
)

// accept hands a connection that was accepted at an address to the handler, on a goroutine of its own.
func (p *podCapture) accept(l *listeners, at netip.AddrPort, conn *os.File) {
	m := p.manager
	m.accepted.Add(1)
	if p.refuses() {
		m.refused.Add(1)
		resetAndClose(conn)
		return
	}
	if !p.conns.begin(conn) {
		resetAndClose(conn)
		return
	}
	m.load.add(&p.load)
	go func() { // waited for by connections.abort
		defer func() {
			if r := recover(); r != nil {
				m.panics.Add(1)
				m.options.Log.Error("connection handler panicked", "panic", r, "stack", string(debug.Stack()))
				resetAndClose(conn)
			}
			_ = conn.Close() // handlers have done that themselves
			m.load.remove(&p.load)
			p.conns.end(conn)
		}()
		p.serve(l, at, conn)
	}()
}

func (p *podCapture) serve(l *listeners, at netip.AddrPort, conn *os.File) {
	m := p.manager
	original, err := l.attached.Original(conn, at)
	if err != nil {
		resetAndClose(conn)
		return
	}
	if l.isListener(original) {
		m.loops.Add(1)
		return
	}
	// The lookup is needed only where another redirect may send the agent's own connections back to it.
	if p.foreign.Load() && p.madeByAgent(l, conn, original) {
		m.loops.Add(1)
		resetAndClose(conn)
		return
	}
	p.conns.redirected(conn, original)
	m.options.Handler.ServeCaptured(p.sandbox.Pod, conn, original)
}

// madeByAgent reports whether an accepted connection is one that the agent has made, which somebody in the pod has sent back.
func (p *podCapture) madeByAgent(l *listeners, conn *os.File, original netip.AddrPort) bool {
	s, err := sockdiag.Find(l.attached.clientSocket(mechanism.Connection{From: transport.PeerAddr(conn), To: original}))
	return err == nil && s.Mark == p.manager.options.Mark
}

// refuses reports whether the pod has more than its share of what is short, and its connections cannot go direct, or are too many already.
func (p *podCapture) refuses() bool {
	return p.load.shed.Load() != nil && (p.load.cutting.Load() || p.closed.Load())
}

// overload returns why the pod's new connections are not to come to the agent, nil if they are.
func (p *podCapture) overload() error {
	if err := loaded(&p.manager.load.all); err != nil {
		return err
	}
	return loaded(&p.load.shed)
}

// acceptFailed hears why a connection could not be accepted; it stays in the queue.
func (p *podCapture) acceptFailed(err error) {
	if exhausted(err) {
		p.manager.load.exhaust()
	}
}
