package h2

import (
	"errors"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/grpc"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// resetByServer acts on RST_STREAM.
func (s *Session) resetByServer(h holder, u *serverConn, c http2.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.holds(u) {
		return
	}
	s.clock(u.now)
	w := how{kind: call.Reset, why: routes.DetailReset, code: c, unprocessed: c == http2.RefusedStream, grpc: grpc.StatusOfReset(uint32(c))}
	if w.unprocessed {
		w.kind = call.RefusedStream
	}
	s.broken(h.t, w, &u.batch)
}

// how an attempt has ended without being asked to.
type how struct {
	kind        call.Kind
	why         routes.Detail
	code        http2.Code // for the client, if it has a part of the response
	unprocessed bool
	leaving     bool // because the connection takes nothing any more
	grpc        int  // what a reset means for a gRPC call; 0: there was none
}

// broken acts on the end of an attempt whose stream is gone.
func (s *Session) broken(t *attempt, w how, b *batch) {
	x := t.x
	sent := t.sent()
	whole := t.whole
	reused := t.stale() || w.leaving && t.Lease.Reused()
	t.detach(b)
	switch {
	case x.phase == forwarding && t == x.answer:
		if !t.ended {
			x.cutWith(w.code, w.why, b)
			return
		}
		t.stopped = !whole
		if x.closed {
			x.responded(b)
		}
	case t == x.kept:
		if !t.ended {
			x.kept = nil
			t.drop(http2.Cancel, s.now, b)
			x.call.KeptLost()
			return
		}
		x.keptEnds(b)
	case x.underWay(t):
		x.focus(t)
		x.lostAttempt(t, w, sent, reused, b)
	}
}

func (x *stream) lostAttempt(t *attempt, w how, sent, reused bool, b *batch) {
	s := x.s
	if sent && !w.unprocessed {
		x.call.BytesAccepted(t.ID)
	}
	x.reportBody()
	x.attempted(t, w.kind, 0, w.why)
	t.drop(http2.Cancel, s.now, b)
	f := call.Failure{
		Kind: w.kind, ResponseStarted: t.interims > 0, PeerUnprocessed: w.unprocessed, PeerLeaving: w.leaving, Reused: reused, GRPCStatus: w.grpc,
	}
	x.next() // which forgets what the attempt was
	s.act(x, x.call.AttemptFailed(s.now, t.ID, f), b)
}

// lost acts on the end of an attempt's connection.
func (s *Session) lost(h holder, u *serverConn, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.holds(u) {
		return
	}
	s.clock(now)
	w := how{kind: call.Reset, why: drive.DetailOf(err), code: http2.InternalError}
	if u.cut() {
		w.why = routes.DetailMemory
	}
	var bad *http2.Error
	if errors.As(err, &bad) {
		w.kind, w.why = call.BadResponse, routes.Detail(bad.Error())
	}
	s.broken(h.t, w, &u.batch)
}

// malformed acts on a response that breaks the protocol; its stream was reset.
func (s *Session) malformed(h holder, u *serverConn, bad *http2.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.holds(u) {
		return
	}
	s.clock(u.now)
	s.broken(h.t, how{kind: call.BadResponse, why: routes.Detail(bad.Error()), code: http2.InternalError}, &u.batch)
}

// unprocessed acts on a stream above the last one that the server has taken.
func (s *Session) unprocessed(h holder, u *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !h.holds(u) {
		return
	}
	s.clock(u.now)
	s.broken(h.t, how{kind: call.RefusedStream, why: routes.DetailClosed, code: http2.RefusedStream, unprocessed: true, leaving: true}, &u.batch)
}
