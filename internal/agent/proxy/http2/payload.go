package http2

// data takes in the header of a DATA frame and the first piece.
func (p *Parser) data(h header, b []byte, f *Frame) (n, need int, err error) {
	if h.stream == 0 {
		return 0, 0, ErrStreamID
	}
	n = FrameHeaderLen
	length, pad := h.length, 0
	if h.has(flagPadded) {
		switch {
		case length == 0:
			return 0, 0, ErrFrameSize
		case len(b) == n:
			return 0, n + 1, nil
		}
		pad = int(b[n])
		n++
		length -= 1 + pad
		if length < 0 {
			return 0, 0, ErrPadding
		}
	}
	if length > 0 && len(b) == n {
		return 0, n + 1, nil
	}
	p.stream, p.left, p.skip, p.end = h.stream, length, pad, h.has(flagEndStream)
	n += p.piece(b[n:], f)
	f.First, f.Length, f.Flow = true, uint32(h.length), uint32(h.length-length)+f.Flow
	return n, 0, nil
}

// piece hands out what is there of the data: nothing only if the frame has none.
func (p *Parser) piece(b []byte, f *Frame) int {
	n := min(p.left, len(b))
	p.left -= n
	*f = Frame{Type: Data, Stream: p.stream, Payload: b[:n:n], Flow: uint32(n), EndStream: p.end && p.left == 0}
	return n
}

// whole takes in the payload of a frame that is there completely.
func (p *Parser) whole(h header, b []byte, f *Frame) error {
	switch h.t {
	case Headers:
		return p.headers(h, b, f)
	case Continuation:
		return p.continuation(h, b, f)
	case RSTStream:
		f.Code = Code(be32(b))
	case SettingsFrame, Ping:
		f.Ack, f.Payload = h.has(flagAck), b
	case GoAway:
		f.LastStream, f.Code, f.Payload = be32(b)&MaxStream, Code(be32(b[4:])), b[8:]
	case WindowUpdate:
		f.Increment = be32(b) & MaxStream
		switch {
		case f.Increment == 0 && h.stream == 0:
			return ErrWindowUpdateZero
		case f.Increment == 0:
			return ErrStreamWindowUpdateZero
		}
	default:
	}
	return nil
}

// headers strips padding and priority. A block of one frame is handed out where it lies.
func (p *Parser) headers(h header, b []byte, f *Frame) error {
	pad := 0
	if h.has(flagPadded) {
		if len(b) == 0 {
			return ErrFrameSize
		}
		pad, b = int(b[0]), b[1:]
	}
	if h.has(flagPriority) {
		if len(b) < 5 {
			return ErrFrameSize
		}
		b = b[5:]
	}
	if pad > len(b) {
		return ErrPadding
	}
	b = b[:len(b)-pad]
	if h.has(flagEndHeaders) {
		f.EndStream, f.Payload = h.has(flagEndStream), b
		return nil
	}
	p.block = append(p.block[:0], b...)
	p.blockOf, p.blockEnd, p.blockLen, p.parts = h.stream, h.has(flagEndStream), uint32(h.length), 0
	f.Type = Continuation
	return nil
}

// continuation adds to the open header block, and hands it out when it is complete.
func (p *Parser) continuation(h header, b []byte, f *Frame) error {
	p.parts++
	switch {
	case p.parts > maxContinuations:
		return ErrFloodContinuation
	case len(p.block)+len(b) > MaxBlock:
		return ErrBlockTooLarge
	}
	p.block = append(p.block, b...)
	p.blockLen += uint32(h.length)
	if !h.has(flagEndHeaders) {
		return nil
	}
	*f = Frame{Type: Headers, First: true, Stream: p.blockOf, EndStream: p.blockEnd, Payload: p.block, Length: p.blockLen}
	p.handed, p.blockOf = true, 0
	return nil
}
