package main

import (
	"io"
	"net"
	"slices"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// answered is the server's side of a connection of HTTP/2: every request gets 1 KB, those with a body a message of gRPC; for bulk those without one
// get bulkSize.
type answered struct {
	frames
	conn   net.Conn
	bulk   bool
	out    []byte
	window int
	// received are the bytes of bodies since the peer was last granted more on the connection, ungranted those on each stream.
	received  int
	ungranted map[uint32]int
	waiting   []*answering
}

// answering is a stream that is being answered.
type answering struct {
	stream       uint32
	window, left int
	begun, grpc  bool
}

var (
	headKB   = head([][2]string{{":status", "200"}, {"content-type", "application/octet-stream"}, {"content-length", "1024"}}, false)
	headBulk = head([][2]string{{":status", "200"}, {"content-type", "application/octet-stream"}}, false)
	headGRPC = head([][2]string{{":status", "200"}, {"content-type", "application/grpc"}}, false)
	tailGRPC = head([][2]string{{"grpc-status", "0"}, {"grpc-message", ""}}, true)
)

// answerMultiplexed serves one connection of HTTP/2, whose preface r begins with.
func answerMultiplexed(c net.Conn, r io.Reader, bulk bool) {
	s := &answered{frames: newFrames(r), conn: c, bulk: bulk, window: http2.DefaultWindow, ungranted: map[uint32]int{}}
	if _, err := s.r.Discard(len(http2.Preface)); err != nil {
		return
	}
	settings := http2.InitialSettings()
	if bulk {
		settings.InitialWindowSize = streamWindow
	}
	s.out = settings.Append(nil)
	if bulk {
		s.out = http2.AppendWindowUpdate(s.out, 0, connWindow)
	}
	for {
		if err := s.flush(s.r.Buffered() == 0); err != nil {
			return
		}
		f, err := s.next()
		if err != nil {
			return
		}
		s.take(f)
		for len(s.waiting) > 0 && s.answer(s.waiting[0]) {
			if s.waiting[0].left == 0 {
				s.waiting = s.waiting[1:]
			}
			if err := s.flush(false); err != nil {
				return
			}
		}
	}
}

// flush writes what is to be sent: now, or once it is much.
func (s *answered) flush(now bool) error {
	if len(s.out) == 0 || !now && len(s.out) < 256<<10 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

func (s *answered) take(f frame) {
	switch {
	case f.t == http2.SettingsFrame && f.flags&ack == 0:
		s.out = http2.AppendSettingsAck(s.out)
	case f.t == http2.WindowUpdate && f.stream == 0:
		s.window += int(f.value)
	case f.t == http2.WindowUpdate:
		if i := slices.IndexFunc(s.waiting, func(a *answering) bool { return a.stream == f.stream }); i >= 0 {
			s.waiting[i].window += int(f.value)
		}
	case f.ends():
		s.waiting = append(s.waiting, s.begin(f))
	}
	if f.t != http2.Data {
		return
	}
	if s.bulk {
		s.grant(f)
	}
	if s.received += f.length; s.received >= 16<<10 {
		s.out, s.received = http2.AppendWindowUpdate(s.out, 0, uint32(s.received)), 0
	}
}

// grant lets the peer send more on a stream once half of a window was received.
func (s *answered) grant(f frame) {
	n := s.ungranted[f.stream] + f.length
	switch {
	case f.ends():
		delete(s.ungranted, f.stream)
		return
	case n >= streamWindow/2:
		s.out, n = http2.AppendWindowUpdate(s.out, f.stream, uint32(n)), 0
	}
	s.ungranted[f.stream] = n
}

func (s *answered) begin(f frame) *answering {
	a := &answering{stream: f.stream, window: int(s.settings.InitialWindowSize), left: 1024, grpc: f.t == http2.Data && !s.bulk}
	switch {
	case a.grpc:
		a.left = len(message)
	case s.bulk && f.t != http2.Data:
		a.left = bulkSize
	}
	return a
}

// answer appends what comes next of an answer, a frame of its body with what goes before or behind it. False: the windows allow none.
func (s *answered) answer(a *answering) bool {
	n := min(a.left, s.window, a.window, http2.MaxFrame)
	if n < min(a.left, http2.MaxFrame) && (a.left <= http2.MaxFrame || n <= 0) {
		return false
	}
	if !a.begun {
		a.begun = true
		s.out = appendFor(s.out, a.head(s.bulk), a.stream)
	}
	a.left, a.window, s.window = a.left-n, a.window-n, s.window-n
	s.out = http2.AppendDataHeader(s.out, a.stream, n, a.left == 0 && !a.grpc)
	if a.grpc {
		s.out = appendFor(append(s.out, message...), tailGRPC, a.stream)
		return true
	}
	s.out = append(s.out, bulkPart[:n]...)
	return true
}

func (a *answering) head(bulk bool) []byte {
	switch {
	case a.grpc:
		return headGRPC
	case bulk:
		return headBulk
	}
	return headKB
}
