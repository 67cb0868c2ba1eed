package http1

import "io"

// Body streams the body of the message whose head was read last, as the bytes on the wire: a chunked body keeps its chunk
// lines, extensions and trailers (RFC 9112 section 7.1.1 lets a recipient ignore unknown extensions; what is forwarded as read
// reaches one that may know them). Nothing is handed out before it has been checked.
//
// What is not handed out as it was read: trailer fields that end here are left out, chunked bodies of responses are mended where
// RFC 9112 says how, and are handed out without the coding to clients of HTTP/1.0.
type Body struct {
	// Bytes counts what was handed out or spliced.
	Bytes int64

	r       *Reader
	h       *Head
	framing Framing
	left    int64 // of the content length, or of the current chunk
	chunked chunkState
	trailer int  // bytes of the trailer section so far
	scanned int  // bytes of an incomplete line in which no line feed was found
	owes    bool // the line handed out last was ended by a line feed alone, and its CRLF is handed out next
}

// Body prepares b for the body of the message that h is the head of.
func (r *Reader) Body(b *Body, h *Head) {
	*b = Body{r: r, h: h, framing: h.Framing, left: h.Length}
	if b.framing == Tunnel {
		b.framing = NoBody
	}
}

// Done reports whether the body has been handed out completely.
func (b *Body) Done() bool { return b.framing == NoBody && !b.owes }

// Ready hands out what is at hand without reading from the connection; it may be nothing. The bytes are valid until the next
// call to the Reader or the Body.
//
// An error says that what is at hand breaks the protocol; the bytes handed out with it are those in front of the mistake. Asked
// before the head is forwarded, it is the way to refuse a request whose body is visibly bad with nothing sent (rule
// 27). The error comes again with the next call.
func (b *Body) Ready() ([]byte, error) {
	if b.owes {
		return b.lineEnd(), nil
	}
	p := b.r.Buffered()
	used, out, err := b.measure(p)
	b.r.pos += used
	b.Bytes += int64(out)
	if out == 0 && b.owes {
		return b.lineEnd(), nil
	}
	return p[:out], err
}

// lineEndBytes are handed out, and never written to.
var lineEndBytes = []byte(crlf)

func (b *Body) lineEnd() []byte {
	b.owes = false
	b.Bytes += int64(len(lineEndBytes))
	return lineEndBytes
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

// ended maps a read error: io.EOF ends a body that lasts until the connection closes, and becomes io.ErrUnexpectedEOF in any other
// framing.
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

// measure returns how many of the buffered bytes are used up, and how many bytes at their beginning can be handed out for them.
func (b *Body) measure(p []byte) (used, out int, err error) {
	switch b.framing {
	case ContentLength:
		n := int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		if b.left == 0 {
			b.framing = NoBody
		}
		return n, n, nil
	case Chunked:
		return b.chunks(p)
	case UntilClose:
		return len(p), len(p), nil
	case NoBody, Tunnel:
	}
	return 0, 0, nil
}
