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
	ownDeadline := o.Kind == call.Deadline && x.call.DeadlineLimit() == call.LimitClient
	if x.pinned && !ownDeadline && (r.status == http.StatusBadGateway || r.status == http.StatusGatewayTimeout) {
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
	text := "fairlead: " + r.reason + "\n"
	if r.retryAfter > 0 {
		p.Add("retry-after", strconv.Itoa(r.retryAfter))
	}
	head := string(x.head.Method()) == http.MethodHead
	fits := !head && min(x.send.Available(), s.send.Available()) >= len(text)
	if fits || head { // else the window has no room for the text
		p.Add("content-length", strconv.Itoa(len(text)))
	}
	s.sendHeaders(x, p, !fits, b)
	if fits {
		s.out.put(append(http2.AppendDataHeader(s.out.buffer(), x.id, len(text), true), text...))
		x.send.Take(len(text))
		s.send.Take(len(text))
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
