package h2

import (
	"errors"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// frames acts on the client's frames in b.
func (s *Session) frames(b []byte) (used int, err error) {
	defer s.batch.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = time.Now()
	for {
		n, need, err := s.parser.Next(b[used:], &s.frame)
		used += n
		if need > 0 {
			shrink(&s.scratch)
			if s.parser.Memory() > keptBlock && s.account.overrun() {
				return used, http2.ErrBlockTooLarge
			}
			return used, nil
		}
		if err == nil {
			if err = s.flood.Frame(&s.frame, s.now); err == nil {
				err = s.handle(&s.frame)
			}
		}
		if err = s.refuse(err); err != nil {
			return used, err
		}
	}
}

// refuse deals with a stream that breaks the protocol. What concerns the connection is returned.
func (s *Session) refuse(err error) error {
	if err == nil {
		return nil
	}
	bad, ok := errors.AsType[*http2.Error](err)
	if !ok || bad.Scope == http2.OnConnection {
		return err
	}
	x := s.streams[s.frame.Stream]
	s.refused(bad, x)
	s.out.put(http2.AppendRSTStream(s.out.buffer(), s.frame.Stream, bad.Code))
	s.batch.add(&s.out)
	if x != nil {
		x.clientGone(http2.Cancel, routes.Detail(bad.Error()), &s.batch)
	}
	return s.flood.Reset(s.now)
}

// refused reports what is refused for breaking the protocol. x is the request if its head is known.
func (s *Session) refused(bad *http2.Error, x *stream) {
	r := drive.Refused{Pod: s.client.Pod, Original: s.client.Original, Status: http.StatusBadRequest, Reason: bad.Error()}
	if x != nil {
		r.Method, r.Host, r.Path = x.head.Method(), x.head.Host(), x.head.Target()
	}
	s.driver.Malformed(r)
	s.driver.countFlood(drive.ClientSide, bad)
}

func (s *Session) handle(f *http2.Frame) error {
	never := f.Stream > s.lastID || f.Stream%2 == 0 && f.Stream != 0 // clients open odd ones, and we none
	if never && f.Type != http2.Headers && f.Type != http2.Priority && f.Type <= http2.Continuation {
		return s.unopened(f)
	}
	switch f.Type {
	case http2.Headers:
		return s.headers(f)
	case http2.Data:
		return s.data(f)
	case http2.RSTStream:
		return s.resetByClient(f)
	case http2.SettingsFrame:
		return s.settings(f)
	case http2.Ping:
		s.pinged(f)
	case http2.GoAway: // of streams that we would open, which we never do; the client closes the connection when it has its answers
	case http2.WindowUpdate:
		return s.windowUpdate(f)
	case http2.Priority, http2.PushPromise, http2.Continuation:
	}
	return nil
}

// unopened acts on a frame of a stream that is not open and was not.
func (s *Session) unopened(f *http2.Frame) error {
	switch {
	case s.leaving != said || f.Stream%2 == 0:
		return http2.ErrStreamID // RFC 9113 section 5.1
	case f.Type == http2.Data && !s.recv.Receive(f.Flow):
		return http2.ErrWindowExceeded
	case f.Type == http2.Data:
		s.giveBack(f.Flow, &s.batch)
	}
	return nil // of a stream that was opened before the client knew that it must not
}

func (s *Session) headers(f *http2.Frame) error {
	if x := s.streams[f.Stream]; x != nil {
		return s.trailers(x, f)
	}
	x := s.take()
	err := s.dec.Decode(f.Payload, &x.head)
	if err == nil || errors.Is(err, http2.ErrListTooLarge) {
		if next, opened := s.admit(x, f, err); opened {
			return next
		} else {
			err = next
		}
	}
	s.free(x)
	return err
}

// admit opens a stream, if it may be opened.
func (s *Session) admit(x *stream, f *http2.Frame, bad error) (err error, opened bool) {
	switch {
	case f.Stream%2 == 0:
		return http2.ErrStreamID, false
	case f.Stream <= s.lastID:
		return nil, false // of a stream that we have reset
	case s.leaving == said:
		return nil, false // as GOAWAY has said
	case !s.client.Activity.BecomeBusy(): // it is being closed
		s.leaving = said
		return nil, false
	}
	s.lastID = f.Stream
	if len(s.streams) >= maxStreams || s.heads >= maxHeads || s.account.exhausted() {
		s.out.put(http2.AppendRSTStream(s.out.buffer(), f.Stream, http2.RefusedStream))
		s.batch.add(&s.out)
		s.idleAgain()
		return s.flood.Reset(s.now), false
	}
	return s.begin(x, f, bad)
}

// begin begins the call of a stream that may be opened; bad: its head is too large. It reports false where the stream has ended with that.
func (s *Session) begin(x *stream, f *http2.Frame, bad error) (err error, opened bool) {
	x.request.InitRequest(s.ours.EnableConnectProtocol)
	if bad == nil {
		_, bad = x.request.Headers(&x.head, f.EndStream)
	} else {
		s.tooLarge(x, f)
		return nil, false
	}
	if bad != nil {
		s.idleAgain()
		return bad, false
	}
	if x.target(); x.governing != nil && x.head.CountForwards() {
		s.answerForwards(x, f)
		return nil, false
	}
	s.streams[f.Stream] = x
	x.headSize = x.head.Memory()
	s.heads += x.headSize
	x.charge()
	x.begin(f.Stream, f.EndStream, &s.batch)
	s.sayLeaving(&s.batch)
	return nil, true
}

func (s *Session) idleAgain() {
	if len(s.streams) == 0 {
		s.rested(&s.batch)
	}
}

// tooLarge answers a request whose head is too large (rule 30).
func (s *Session) tooLarge(x *stream, f *http2.Frame) {
	s.refused(http2.ErrListTooLarge, nil)
	x.id, x.ended = f.Stream, f.EndStream
	x.send.Init(s.peer.InitialWindowSize)
	s.reply(x, localReply{status: http.StatusRequestHeaderFieldsTooLarge, reason: "malformed_request"}, &s.batch)
	s.idleAgain()
}

// answerForwards answers a request that must not be forwarded any more, as its final recipient (RFC 9110 section 7.6.2). It is no call: nothing
// is sent, counted or limited.
func (s *Session) answerForwards(x *stream, f *http2.Frame) {
	x.id, x.ended = f.Stream, f.EndStream
	x.send.Init(s.peer.InitialWindowSize)
	p := &s.own
	p.Reset()
	p.AddStatus(http.StatusOK)
	var content []byte
	if string(x.head.Method()) == http.MethodTrace {
		p.Add("content-type", "message/http")
		content = x.head.AppendReflection(nil)
	}
	s.answer(x, p, content, &s.batch)
	s.idleAgain()
	s.sayLeaving(&s.batch)
}

// trailers takes in the end of a request.
func (s *Session) trailers(x *stream, f *http2.Frame) error {
	if err := s.dec.Decode(f.Payload, &s.scratch); err != nil {
		return err
	}
	if _, err := x.request.Headers(&s.scratch, f.EndStream); err != nil {
		return err
	}
	x.trailers, s.scratch = s.scratch, x.trailers
	x.charge()
	x.trailing, x.ended, x.moved = true, true, s.now
	x.sendOrQueue(nil, &s.batch)
	return nil
}

func (s *Session) data(f *http2.Frame) error {
	if !s.recv.Receive(f.Flow) {
		return http2.ErrWindowExceeded
	}
	x := s.streams[f.Stream]
	if x == nil { // of a stream that we have reset, or answered
		s.giveBack(f.Flow, &s.batch)
		return nil
	}
	kept, err := s.body(x, f)
	owed := 0
	if s.account.short() && x.phase != over {
		owed = kept
		x.owed += owed
	}
	s.giveBack(f.Flow-uint32(owed), &s.batch)
	if (kept > 0 || x.behind) && err == nil {
		x.shed(drive.ServerSide, &s.batch)
	}
	return err
}

// body takes in a piece of a request's body, and returns how much of it is kept.
func (s *Session) body(x *stream, f *http2.Frame) (kept int, err error) {
	if !x.recv.Receive(f.Flow) {
		return 0, http2.ErrStreamWindowExceeded
	}
	if err := x.request.Data(len(f.Payload), f.EndStream); err != nil {
		return 0, err
	}
	x.ended, x.moved = x.ended || f.EndStream, s.now
	x.bodyCame, x.behind = true, false
	kept = x.sendOrQueue(f.Payload, &s.batch)
	if x.phase != over {
		x.consumed(int(f.Flow)-len(f.Payload), &s.batch)
	}
	return kept, nil
}

func (s *Session) resetByClient(f *http2.Frame) error {
	x := s.streams[f.Stream]
	if x == nil {
		return nil
	}
	x.clientGone(f.Code, routes.DetailClientLeft, &s.batch)
	return nil
}

func (s *Session) settings(f *http2.Frame) error {
	if f.Ack {
		return nil
	}
	change, err := s.peer.Apply(f.Payload, false)
	if err != nil {
		return err
	}
	if change.SmallestTable != http2.Unlimited {
		s.enc.SetTableSize(s.peer.HeaderTableSize, change.SmallestTable)
	}
	s.out.put(http2.AppendSettingsAck(s.out.buffer()))
	s.batch.add(&s.out)
	if change.Window == 0 {
		return nil
	}
	for _, x := range s.streams {
		if !x.send.Shift(change.Window) {
			return http2.ErrWindowOverflow
		}
	}
	if change.Window > 0 {
		for _, x := range s.streams {
			s.relayMore(x)
		}
	}
	return nil
}

func (s *Session) windowUpdate(f *http2.Frame) error {
	if f.Stream == 0 {
		if !s.send.Add(f.Increment) {
			return http2.ErrWindowOverflow
		}
		s.unblock(&s.batch)
		return nil
	}
	x := s.streams[f.Stream]
	if x == nil {
		return nil
	}
	if !x.send.Add(f.Increment) {
		return http2.ErrStreamWindowOverflow
	}
	s.relayMore(x)
	return nil
}

// relayMore sends to a client whose window has grown.
func (s *Session) relayMore(x *stream) {
	if x.phase == forwarding && !x.closed {
		x.relay(x.answer, nil, &s.batch)
	}
}

// pinged answers a PING, or is the answer to ours.
func (s *Session) pinged(f *http2.Frame) {
	if f.Ack {
		if s.leaving == warned {
			s.goAway(http2.NoError, &s.batch)
		}
		return
	}
	if s.out.backlog() < maxBacklog { // who reads nothing needs no answers
		s.out.put(http2.AppendPingAck(s.out.buffer(), f.Payload))
		s.batch.add(&s.out)
	}
}
