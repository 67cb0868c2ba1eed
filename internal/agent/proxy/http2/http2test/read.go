package http2test

import (
	"errors"

	"golang.org/x/net/http2"
)

// read takes in frames until the connection ends.
func (c *Conn) read() {
	defer close(c.ended)
	if c.opts.NeverRead {
		return
	}
	var block []byte
	for {
		h, err := c.fr.ReadFrameHeader()
		if err == nil {
			c.note(func() { c.counts[h.Type]++ })
			var f http2.Frame
			if f, err = c.fr.ReadFrameForHeader(h); err == nil {
				block, err = c.take(f, block)
			} else if _, ok := errors.AsType[http2.StreamError](err); ok {
				err = nil // scripts may mind
			}
		}
		if err != nil {
			c.note(func() { c.err = err })
			c.Close()
			return
		}
	}
}

// take takes in a frame; block is the open header block.
func (c *Conn) take(f http2.Frame, block []byte) ([]byte, error) {
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return c.headers(f.StreamID, append([]byte{}, f.HeaderBlockFragment()...), f.HeadersEnded(), f.StreamEnded())
	case *http2.ContinuationFrame:
		s := c.stream(f.StreamID)
		return c.headers(f.StreamID, append(block, f.HeaderBlockFragment()...), f.HeadersEnded(), s != nil && s.blockEnds)
	case *http2.DataFrame:
		return nil, c.data(f)
	case *http2.RSTStreamFrame:
		if s := c.stream(f.StreamID); s != nil {
			c.note(func() { s.reset, s.code = true, f.ErrCode })
		}
	case *http2.SettingsFrame:
		return nil, c.settings(f)
	case *http2.PingFrame:
		if f.IsAck() {
			c.note(func() { c.pongs++ })
		} else if !c.opts.NoPingAck {
			return nil, c.Frames(func(fr *http2.Framer) error { return fr.WritePing(true, f.Data) })
		}
	case *http2.GoAwayFrame:
		g := GoAway{f.LastStreamID, f.ErrCode, string(f.DebugData())}
		c.note(func() { c.goAways = append(c.goAways, g) })
	case *http2.WindowUpdateFrame:
		c.note(func() {
			if f.StreamID == 0 {
				c.window += int64(f.Increment)
			} else if s := c.streams[f.StreamID]; s != nil {
				s.window += int64(f.Increment)
			}
		})
	}
	return nil, nil
}

func (c *Conn) stream(id uint32) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

// headers takes in a header block, or a part of one.
func (c *Conn) headers(id uint32, block []byte, complete, ends bool) ([]byte, error) {
	s, isNew := c.streamFor(id)
	s.blockEnds = ends
	if !complete {
		return block, nil
	}
	fields, err := c.dec.DecodeFull(block)
	if err != nil {
		return nil, err
	}
	c.note(func() { s.arrived(fields, ends) })
	if isNew && c.accept != nil {
		c.accept(s)
	}
	return nil, nil
}

// streamFor finds the stream, or makes it. A stream is accepted when its first header block is complete.
func (c *Conn) streamFor(id uint32) (s *Stream, accept bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s = c.streams[id]
	if s == nil {
		s = c.newStream(id)
	}
	return s, c.server && s.heads == 0
}

func (c *Conn) data(f *http2.DataFrame) error {
	n := f.Length
	c.note(func() {
		if s := c.streams[f.StreamID]; s != nil {
			s.received += int64(len(f.Data()))
			if !c.opts.DiscardBodies {
				s.body.Write(f.Data())
			}
			s.pieces++
			s.ended = s.ended || f.StreamEnded()
		}
	})
	if c.opts.HoldWindows || n == 0 {
		return nil
	}
	return c.Frames(func(fr *http2.Framer) error {
		if err := fr.WriteWindowUpdate(0, n); err != nil || f.StreamEnded() {
			return err
		}
		return fr.WriteWindowUpdate(f.StreamID, n)
	})
}

// settings takes in SETTINGS and their acknowledgement.
func (c *Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		c.note(func() {
			c.acks++
			if len(c.tables) == 0 {
				return // of SETTINGS that were written as frames
			}
			if size := c.tables[0]; size != sameTable {
				c.dec.SetAllowedMaxDynamicTableSize(size)
				c.dec.SetMaxDynamicTableSize(min(size, 4096)) // what is behind is encoded with a table that is no larger
			}
			c.tables = c.tables[1:]
		})
		return nil
	}
	// Header blocks are encoded under wmu, so that what follows the acknowledgement goes by the new table size.
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.note(func() {
		for i := range f.NumSettings() {
			s := f.Setting(i)
			switch s.ID {
			case http2.SettingInitialWindowSize:
				for _, st := range c.streams {
					st.window += int64(s.Val) - int64(c.peer[s.ID])
				}
			case http2.SettingHeaderTableSize:
				c.enc.enc.SetMaxDynamicTableSizeLimit(s.Val)
			default:
			}
			c.peer[s.ID] = s.Val
		}
	})
	if c.opts.NoSettingsAck {
		return nil
	}
	return c.fr.WriteSettingsAck()
}
