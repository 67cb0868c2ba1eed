package http1

import (
	"bytes"
	"errors"
	"io"
)

// errMore says that the head is not complete yet.
var errMore = errors.New("head not complete")

// starter parses the start line of one kind of message.
type starter interface {
	startLine(line []byte) error
}

// readHead reads until the head is complete. io.EOF means that the connection ended before its first byte.
func (r *Reader) readHead(h *Head, s starter) error {
	for {
		err := r.parseHead(h, s)
		if err != errMore { //nolint:errorlint // a private sentinel, never wrapped
			return err
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && r.end > r.start { //nolint:errorlint // readers return io.EOF itself
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// parseHead takes in the complete lines among what is buffered, each of them once however the bytes arrive, and returns errMore
// as long as the empty line is missing.
func (r *Reader) parseHead(h *Head, s starter) error {
	if r.head != h {
		h.reset()
		r.head = h
	}
	if r.buf == nil {
		return errMore
	}
	buf := r.buf.data
	for {
		lf := bytes.IndexByte(buf[r.scan:r.end], '\n')
		if lf < 0 {
			r.scan = r.end
			return r.checkPartial(h)
		}
		lf += r.scan
		if lf == r.pos || buf[lf-1] != '\r' {
			return ErrBareLF
		}
		line := buf[r.pos : lf-1]
		if err := r.takeLine(h, s, line); err != nil {
			return err
		}
		r.pos, r.scan = lf+1, lf+1
		if h.lines == 0 {
			r.start = r.pos // an empty line before the start line is not part of the message
		} else if len(line) == 0 {
			h.raw = buf[r.start:r.pos]
			return nil
		}
	}
}

// takeLine takes in one line, given without its CRLF.
func (r *Reader) takeLine(h *Head, s starter, line []byte) error {
	switch {
	case h.lines > 0 && len(line) > 0:
		if r.pos+len(line)+2-r.start-h.firstLine > MaxFields {
			return ErrHeadTooLarge
		}
		h.lines++
		return h.field(line, r.pos-r.start)
	case h.lines > 0:
		return nil
	case len(line) > MaxLine:
		return ErrLineTooLong
	case len(line) > 0:
		h.lines, h.firstLine = 1, len(line)+2
	}
	return s.startLine(line)
}

// maxEmptyLines is how many empty lines are ignored in front of a message (RFC 9112 section 2.2 asks servers for at least one,
// for the sake of clients that end a body with one line too many).
const maxEmptyLines = 2

// emptyLine passes over an empty line in front of the start line.
func (h *Head) emptyLine(tooMany error) error {
	h.emptyLines++
	if h.emptyLines > maxEmptyLines {
		return tooMany
	}
	return nil
}

// checkPartial bounds what is kept of an incomplete line.
func (r *Reader) checkPartial(h *Head) error {
	switch {
	case h.lines == 0 && r.end-r.pos > MaxLine+1:
		return ErrLineTooLong
	case h.lines > 0 && r.end-r.start-h.firstLine > MaxFields+2:
		return ErrHeadTooLarge
	}
	return errMore
}
