package h2

import (
	"net/http"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// maxInterim is how many interim responses an attempt may have. Servers that report progress send one every few seconds at most.
const maxInterim = 1000

// holds reports whether an attempt is still on the stream on which something has happened.
func (h holder) holds(u *serverConn) bool { return h.t.u == u && h.t.stream == h.id }

// headersFromServer acts on a header block of a response, which is in u.block.
func (s *Session) headersFromServer(h holder, u *serverConn, f *http2.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := h.t
	if !h.holds(u) {
		return nil
	}
	form, err := t.response.Headers(&u.block, f.EndStream)
	if err != nil {
		return err
	}
	x := t.x
	s.clock(u.now)
	x.moved, x.answered = s.now, s.now
	switch form {
	case http2.Interim:
		x.interim(t, &u.block, &u.batch)
	case http2.Response:
		t.head, u.block = u.block, t.head
		x.charge()
		t.ended = f.EndStream
		if x.rpc.is {
			t.rpcHead()
		}
		x.responseHead(t, &u.batch)
	case http2.Trailers:
		x.responseTrailers(t, u)
	case http2.Request:
	}
	if t.x.charged > keptBlock {
		t.x.shed(drive.ClientSide, &u.batch)
	}
	return nil
}

// responseTrailers takes in the end of a response, which is in u.block.
func (x *stream) responseTrailers(t *attempt, u *serverConn) {
	t.trailers, u.block = u.block, t.trailers
	x.charge()
	t.trailing, t.ended = true, true
	x.responseEnds(t)
	if x.phase == forwarding && x.answer == t && x.s.out.pressed() {
		x.shed(drive.ClientSide, &u.batch)
		return
	}
	x.relay(t, nil, &u.batch)
	if x.isSilent(t) {
		x.responseHead(t, &u.batch)
	}
	if t == x.kept {
		x.keptEnds(&u.batch)
	}
}

// interim forwards a 1xx response (rules 11 and 21).
func (x *stream) interim(t *attempt, head *http2.Block, b *batch) {
	s := x.s
	if !x.underWay(t) {
		return
	}
	x.focus(t)
	if t.interims++; t.interims > maxInterim || s.out.backlog() >= maxBacklog {
		s.act(x, x.failed(call.BadResponse, routes.DetailInterim, b), b)
		return
	}
	if s.out.pressed() {
		x.shed(drive.ClientSide, b)
		return
	}
	if head.Status() != 100 {
		for id := range x.call.Interim(s.now, t.ID).Cancel.All() {
			x.giveUp(id, b)
		}
	}
	s.sendHeaders(x, head, false, b)
}

// responseHead reports a final response to the call.
func (x *stream) responseHead(t *attempt, b *batch) {
	s, p := x.s, &t.head
	if !x.underWay(t) {
		return
	}
	x.focus(t)
	x.reportBody()
	r := call.Response{Status: p.Status(), GRPCStatus: -1, RequestUnfinished: !t.whole && !x.awaits100()}
	r.Tunnel = string(x.head.Method()) == http.MethodConnect && r.Status/100 == 2
	if r.Status >= 400 {
		drive.ReadWish(&r, p, s.now)
	}
	r.HeaderMatched = x.plan.MatchesField(p.Header)
	if w := x.plan.Would; w != nil {
		r.ShadowHeaderMatched = w.MatchesField(p.Header)
	}
	t.rpc.Fill(&r)
	a := x.call.ResponseHead(s.now, t.ID, r)
	if t.silent = false; a.Do != call.AwaitTrailers {
		x.attempted(t, call.OK, p.Status(), routes.NoDetail)
	}
	if a.Keep {
		x.keepResponse(b)
	}
	s.act(x, a, b)
}

// awaits100 reports whether the client holds its body back for a 100 (Continue) that has not come: there is nothing to send.
func (x *stream) awaits100() bool {
	v, ok := x.head.Header("expect")
	return ok && strings.EqualFold(string(v), "100-continue") && !x.bodyCame
}

// forward forwards the response that answers the call.
func (x *stream) forward(a call.Action, b *batch) {
	s := x.s
	t := x.attemptOf(a.Attempt)
	x.phase, x.answer, x.until = forwarding, t, a.Until
	x.kept = nil
	if a.Do == call.ForwardKept && !t.whole {
		t.stopped = true // what there is of the body has gone elsewhere since
	}
	if s.out.pressed() {
		x.shed(drive.ClientSide, b)
		return
	}
	if x.closed = t.ended && !t.trailing && t.body.size == 0; x.closed {
		s.sendHeaders(x, &t.head, true, b)
		x.responded(b)
		return
	}
	s.sendHeaders(x, &t.head, false, b)
	x.relay(t, nil, b)
	if x.phase == forwarding {
		s.schedule(x)
	}
}

// dataFromServer acts on a piece of a response's body.
func (s *Session) dataFromServer(h holder, u *serverConn, f *http2.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, x := h.t, h.t.x
	if !h.holds(u) {
		u.returned(f.Flow)
		return nil
	}
	s.clock(u.now)
	x.moved, x.answered = s.now, s.now
	kept, err := x.content(t, f, &u.batch)
	owed := 0
	if s.account.short() && t.u == u {
		owed = kept
		t.owed += owed
	}
	u.returned(f.Flow - uint32(owed))
	if (kept > 0 || s.out.blocked) && err == nil {
		x.shed(drive.ClientSide, &u.batch)
	}
	return err
}

// content takes in a piece of a response's body, and returns how much of it is kept.
func (x *stream) content(t *attempt, f *http2.Frame, b *batch) (kept int, err error) {
	if !t.recv.Receive(f.Flow) {
		return 0, http2.ErrStreamWindowExceeded
	}
	if err := t.response.Data(len(f.Payload), f.EndStream); err != nil {
		return 0, err
	}
	if len(f.Payload) > 0 && x.isSilent(t) {
		x.messageBegun(t, b)
	}
	if f.EndStream {
		t.ended = true
		x.responseEnds(t)
	}
	kept = x.relay(t, f.Payload, b)
	x.padding(t, f, b)
	if t.ended && x.isSilent(t) {
		x.responseHead(t, b)
	}
	if t == x.kept {
		x.keptEnds(b)
	}
	return kept, nil
}

// responseEnds takes in that the response is complete.
func (x *stream) responseEnds(t *attempt) {
	if x.rpc.is {
		t.rpcEnd()
	}
}

// padding opens the window for what nobody gets.
func (x *stream) padding(t *attempt, f *http2.Frame, b *batch) {
	if n := int(f.Flow) - len(f.Payload); n > 0 && t.u != nil {
		x.taken(t, n, b)
	}
}

// relay forwards what there is of a response's body, as far as the client takes it: what has come before and then p. It returns how much of
// p is kept.
func (x *stream) relay(t *attempt, p []byte, b *batch) (kept int) {
	sent, taken := 0, 0
	if x.phase == forwarding && x.answer == t && !x.closed {
		sent, taken = x.sendBody(t, p, b)
	}
	rest := p[taken:]
	x.s.account.add(t.body.push(rest))
	if sent > 0 {
		x.taken(t, sent, b)
	}
	if x.closed && x.phase == forwarding {
		x.responded(b)
	}
	return len(rest)
}

// sendBody sends to the client, and returns how much, and how much of it was of p.
func (x *stream) sendBody(t *attempt, p []byte, b *batch) (sent, taken int) {
	s := x.s
	for {
		piece := t.body.front()
		fresh := len(piece) == 0
		if fresh {
			piece = p[taken:]
		}
		if len(piece) == 0 {
			break
		}
		n := x.fitsClient(len(piece))
		if n == 0 {
			return sent, taken
		}
		x.closed = t.ended && !t.trailing && n == t.body.size+len(p)-taken
		frames := s.out.data(x.id, piece[:n], x.closed, s.peer.MaxFrameSize)
		b.add(&s.out)
		s.flood.Sent(frames + n/creditSize)
		x.send.Take(n)
		s.send.Take(n)
		s.turn.take(n)
		sent += n
		if fresh {
			taken += n
		} else {
			s.account.add(-t.body.pop(n))
		}
	}
	if t.ended && !x.closed {
		x.closed = true
		if t.trailing {
			s.sendHeaders(x, &t.trailers, true, b)
		} else {
			s.out.data(x.id, nil, true, s.peer.MaxFrameSize)
			b.add(&s.out)
		}
	}
	return sent, taken
}

// fitsClient is how much of n bytes may be sent to the client now. A stream for which that is nothing is looked at again when it may be more.
func (x *stream) fitsClient(n int) int {
	s := x.s
	if x.send.Available() == 0 {
		return 0 // until its WINDOW_UPDATE
	}
	if s.send.Available() == 0 || s.out.full() || s.turn.over() {
		if !x.blocked {
			x.blocked = true
			s.blocked = append(s.blocked, x)
		}
		return 0
	}
	return s.turn.bound(min(n, int(s.peer.MaxFrameSize), x.send.Available(), s.send.Available()))
}

// taken opens the server's windows for what the client has taken.
func (x *stream) taken(t *attempt, n int, b *batch) {
	x.moved = x.s.now
	increment := t.recv.Consume(uint32(n))
	back := min(n, t.owed)
	if u := t.u; u != nil && (increment > 0 && !t.ended || back > 0) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if increment > 0 && !t.ended {
			u.out.put(http2.AppendWindowUpdate(u.out.buffer(), t.stream, increment))
			b.add(&u.out)
		}
		t.owed -= back
		u.giveBack(uint32(back), b)
	}
}

// responded is called when the client has the whole response. The request goes on as long as both sides want it (rule 20).
func (x *stream) responded(b *batch) {
	t := x.answer
	switch {
	case t.own:
		x.answeredHere(b)
		x.finish(b)
	case t.whole:
		x.finish(b)
	case t.u == nil || t.stopped:
		x.uploadCut(b)
	default:
		x.s.schedule(x)
	}
}

// uploadCut ends a call that was answered although its request was not sent whole.
func (x *stream) uploadCut(b *batch) {
	if x.answer.head.Status() < 400 {
		x.truncated, x.Detail = true, routes.DetailUploadCut
	}
	if !x.ended {
		x.s.reset(x, http2.NoError, b) // RFC 9113 section 8.1
	}
	x.finish(b)
}
