package http1

import "io"

// Body streams the body of the message whose head was read last, as the bytes on the wire: a chunked body keeps its chunk
// lines, extensions and trailers (RFC 9112 section 7.1.1 lets a recipient ignore unknown extensions; what is forwarded as read
// reaches one that may know them). Nothing is handed out before it has been checked.
type Body struct {
	// Bytes counts what was handed out or spliced.
	Bytes int64

	r       *Reader
	framing Framing
	left    int64 // of the content length, or of the current chunk
	chunked chunkState
	trailer int // bytes of the trailer section so far
}

// Body prepares b for the body of the message that h is the head of.
func (r *Reader) Body(b *Body, h *Head) {
	*b = Body{r: r, framing: h.Framing, left: h.Length}
	if b.framing == Tunnel {
		b.framing = NoBody
	}
}

// Done says whether the body has been handed out completely.
func (b *Body) Done() bool { return b.framing == NoBody }

// Ready hands out what is at hand without reading from the connection; it may be nothing. The bytes are valid until the next
// call to the Reader or the Body.
func (b *Body) Ready() ([]byte, error) {
	n, err := b.measure(b.r.Buffered())
	p := b.r.Buffered()[:n]
	b.r.pos += n
	b.Bytes += int64(n)
	return p, err
}

// Next hands out the next bytes of the body, reading if necessary. It returns io.EOF at the body's end,
// io.ErrUnexpectedEOF if the connection ended before it, an *Error if the body broke the protocol.
func (b *Body) Next() ([]byte, error) {
	for {
		p, err := b.Ready()
		if len(p) > 0 {
			return p, nil // an error comes again with the next call
		}
		if err != nil {
			return nil, err
		}
		if b.Done() {
			return nil, io.EOF
		}
		if err := b.r.fill(); err != nil {
			return nil, b.ended(err)
		}
	}
}

// ended makes of an error in reading what it means for the body: io.EOF ends one that lasts until close, and is
// io.ErrUnexpectedEOF within others.
func (b *Body) ended(err error) error {
	if err != io.EOF { //nolint:errorlint // readers return io.EOF itself
		return err
	}
	if b.framing == UntilClose {
		b.framing = NoBody
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}

// measure returns how many of the buffered bytes can be handed out.
func (b *Body) measure(p []byte) (int, error) {
	switch b.framing {
	case ContentLength:
		n := min(int64(len(p)), b.left)
		b.left -= n
		if b.left == 0 {
			b.framing = NoBody
		}
		return int(n), nil
	case Chunked:
		return b.chunks(p)
	case UntilClose:
		return len(p), nil
	case NoBody, Tunnel:
	}
	return 0, nil
}
