package h2

import (
	"net/http"
	"strconv"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// localReply is an answer of the agent's own (rule 26).
type localReply struct {
	status     int
	reason     string // of fairlead-reason and of the line of text
	retryAfter int    // seconds; 0: none
}

// reject answers the client without a server, as the call's outcome says.
func (x *stream) reject(b *batch) {
	s := x.s
	o := x.call.Outcome()
	if o.Kind == call.RefusedStream && o.Unprocessed {
		// What the server has said, which the client may act on as it would without a proxy (rule 10): RFC 9113 section 8.7 lets it make
		// the request anew, whatever the method.
		x.refused = true
		s.reset(x, http2.RefusedStream, b)
		x.finish(b)
		return
	}
	if why := x.plan.Refusal(&o); why != routes.NoDetail {
		x.Detail = why
	}
	r := localReply{status: o.Status, reason: o.Kind.Reason(), retryAfter: drive.RetryAfter(&o)}
	if x.rpc.is {
		x.rejectRPC(o, b)
	} else {
		s.reply(x, r, b)
	}
	reached := o.Kind == call.Injected || o.Kind == call.Deadline && x.call.DeadlineLimit() == call.LimitClient
	if x.pinned && !reached && (r.status == http.StatusBadGateway || r.status == http.StatusGatewayTimeout) {
		// Where the client chose the address a failure to reach it ends its connection as it would without a proxy, so that the
		// client looks the name up again.
		s.goAway(http2.NoError, b)
	}
	x.finish(b)
}

// reply answers a stream.
func (s *Session) reply(x *stream, r localReply, b *batch) {
	p := &s.own
	p.Reset()
	p.AddStatus(r.status)
	p.Add("fairlead-reason", r.reason)
	p.Add("content-type", "text/plain; charset=utf-8")
	if r.retryAfter > 0 {
		p.Add("retry-after", strconv.Itoa(r.retryAfter))
	}
	s.answer(x, p, []byte("fairlead: "+r.reason+"\n"), b)
}

// answer sends a head and its content, without which the answer goes if there is no room for it: nothing is kept for what we say ourselves.
func (s *Session) answer(x *stream, p *http2.Block, content []byte, b *batch) {
	head := string(x.head.Method()) == http.MethodHead
	n := len(content)
	fits := n <= min(x.send.Available(), s.send.Available(), int(s.peer.MaxFrameSize))
	if fits || head {
		p.Add("content-length", strconv.Itoa(n))
	}
	sends := fits && !head && n > 0
	s.sendHeaders(x, p, !sends, b)
	if sends {
		s.out.data(x.id, content, true, s.peer.MaxFrameSize)
		x.send.Take(n)
		s.send.Take(n)
	}
	x.answeredHere(b)
}

// answeredHere ends a stream that has its whole answer.
func (x *stream) answeredHere(b *batch) {
	x.closed = true
	if !x.ended {
		// RFC 9113 section 8.1: "a server MAY request that the client abort transmission of a request without error by sending a
		// RST_STREAM with an error code of NO_ERROR after sending a complete response".
		x.s.reset(x, http2.NoError, b)
	}
}
