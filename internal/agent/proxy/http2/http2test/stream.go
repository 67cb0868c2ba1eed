package http2test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/net/http2"
)

// Stream is one side of a stream.
type Stream struct {
	ID   uint32
	Conn *Conn

	blockEnds bool // the open header block ends the stream; used by the reader alone

	// guarded by Conn.mu
	heads    int // header blocks so far
	interim  []Fields
	head     Fields
	trailers Fields
	body     bytes.Buffer
	received int64
	pieces   int // DATA frames
	ended    bool
	reset    bool
	code     http2.ErrCode
	window   int64
}

// newStream is called with mu held.
func (c *Conn) newStream(id uint32) *Stream {
	s := &Stream{ID: id, Conn: c, window: int64(c.peer[http2.SettingInitialWindowSize])}
	c.streams[id] = s
	return s
}

// arrived takes in a complete header block, with mu held.
func (s *Stream) arrived(f Fields, ends bool) {
	s.heads++
	status := f.Get(":status")
	switch {
	case s.head != nil:
		s.trailers = f
	case len(status) == 3 && status[0] == '1':
		s.interim = append(s.interim, f)
	default:
		s.head = f
	}
	s.ended = s.ended || ends
}

// ErrReset is what waits return when the other side has reset the stream.
type ErrReset struct{ Code http2.ErrCode }

// Error names the code.
func (e ErrReset) Error() string { return "stream reset: " + e.Code.String() }

// await waits for done, or for the end of the stream.
func (s *Stream) await(what string, done func() bool) error {
	var reset error
	err := s.Conn.await(what, func() bool {
		if done() {
			return true
		}
		if s.reset {
			reset = fmt.Errorf("%s: %w", what, ErrReset{s.code})
		}
		return s.reset
	})
	return errors.Join(err, reset)
}

// Head waits for the request, or for the final response.
func (s *Stream) Head() (Fields, error) {
	err := s.await("head", func() bool { return s.head != nil })
	return s.head, err
}

// Interims waits for n interim responses.
func (s *Stream) Interims(n int) ([]Fields, error) {
	err := s.await("interim response", func() bool { return len(s.interim) >= n })
	s.Conn.mu.Lock()
	defer s.Conn.mu.Unlock()
	return slices.Clone(s.interim), err
}

// Body waits for the end of the stream and returns all of its data.
func (s *Stream) Body() ([]byte, error) {
	err := s.await("end of the stream", func() bool { return s.ended })
	s.Conn.mu.Lock()
	defer s.Conn.mu.Unlock()
	return bytes.Clone(s.body.Bytes()), err
}

// Trailers waits for the end of the stream and returns them, if there are.
func (s *Stream) Trailers() (Fields, error) {
	err := s.await("end of the stream", func() bool { return s.ended })
	return s.trailers, err
}

// Received waits until n bytes of data have come, and returns how many have.
func (s *Stream) Received(n int64) (int64, error) {
	err := s.await(fmt.Sprintf("%d bytes", n), func() bool { return s.received >= n || s.ended })
	s.Conn.mu.Lock()
	defer s.Conn.mu.Unlock()
	if err == nil && s.received < n {
		err = io.ErrUnexpectedEOF
	}
	return s.received, err
}

// Pieces is how many DATA frames have come.
func (s *Stream) Pieces() int {
	s.Conn.mu.Lock()
	defer s.Conn.mu.Unlock()
	return s.pieces
}

// AwaitReset waits for RST_STREAM and returns its code.
func (s *Stream) AwaitReset() (http2.ErrCode, error) {
	err := s.Conn.await("RST_STREAM", func() bool { return s.reset })
	s.Conn.mu.Lock()
	defer s.Conn.mu.Unlock()
	return s.code, err
}

// Headers sends a header block, in frames as small as the other side asks for.
func (s *Stream) Headers(end bool, f Fields) error { return s.HeadersIn(Shape{}, end, f) }

// HeadersIn is Headers in frames of a shape.
func (s *Stream) HeadersIn(shape Shape, end bool, f Fields) error {
	c := s.Conn
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.writeBlock(s.ID, shape, end, c.enc.block(f))
}

// Data sends data as the other side's windows allow it, waiting for them.
func (s *Stream) Data(p []byte, end bool) error {
	for {
		n, err := s.take(len(p))
		if err != nil {
			return err
		}
		if err := s.DataAnyway(p[:n], end && n == len(p)); err != nil || n == len(p) {
			return err
		}
		p = p[n:]
	}
}

// Padded sends one DATA frame with as much of data as the other side's windows allow, waiting for them, and padding behind it as far as there is
// room for that. It returns how much of data that was; the frame ends the stream if it is all, and end says so.
func (s *Stream) Padded(p []byte, pad int, end bool) (int, error) {
	n, err := s.take(len(p) + 1 + pad)
	if err != nil {
		return 0, err
	}
	if n == 1 && len(p) > 0 { // padding would take all
		return 1, s.DataAnyway(p[:1], end && len(p) == 1)
	}
	sent := min(n-1, len(p))
	return sent, s.Conn.Frames(func(fr *http2.Framer) error {
		return fr.WriteDataPadded(s.ID, end && sent == len(p), p[:sent], make([]byte, n-1-sent))
	})
}

// take waits for a window and takes up to n bytes, no more than a frame may have.
func (s *Stream) take(n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	c := s.Conn
	taken := int64(0)
	err := s.await("window", func() bool {
		taken = min(c.window, s.window, int64(c.peer[http2.SettingMaxFrameSize]), int64(n))
		if taken <= 0 {
			return false
		}
		c.window -= taken
		s.window -= taken
		return true
	})
	return int(taken), err
}

// DataAnyway sends one DATA frame whatever the windows say.
func (s *Stream) DataAnyway(p []byte, end bool) error {
	return s.Conn.Frames(func(fr *http2.Framer) error { return fr.WriteData(s.ID, end, p) })
}

// Reset sends RST_STREAM.
func (s *Stream) Reset(code http2.ErrCode) error {
	return s.Conn.Frames(func(fr *http2.Framer) error { return fr.WriteRSTStream(s.ID, code) })
}

// GiveWindow sends a WINDOW_UPDATE for the stream.
func (s *Stream) GiveWindow(n uint32) error {
	return s.Conn.Frames(func(fr *http2.Framer) error { return fr.WriteWindowUpdate(s.ID, n) })
}

// Window is how much may be sent on the stream.
func (s *Stream) Window() int64 {
	s.Conn.mu.Lock()
	defer s.Conn.mu.Unlock()
	return s.window
}

// IsReset says whether err is a reset of a stream, and its code.
func IsReset(err error) (http2.ErrCode, bool) {
	e, ok := errors.AsType[ErrReset](err)
	return e.Code, ok
}
