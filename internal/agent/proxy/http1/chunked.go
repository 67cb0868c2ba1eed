package http1

import (
	"bytes"
	"math"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

type chunkState uint8

const (
	chunkLine    chunkState = iota // at a chunk's size line
	chunkData                      // inside a chunk's data
	chunkDataEnd                   // at the CRLF behind the data
	chunkTrailer                   // in the trailer section
)

// chunks walks through p: data is handed out as it comes, lines when they are complete and found good (RFC 9112 section 7.1).
// What is left out or mended is made good by moving what follows it to the front.
func (b *Body) chunks(p []byte) (used, out int, err error) {
	for used < len(p) && b.framing == Chunked && !b.owes {
		n, piece, err := b.element(p[used:])
		if n == 0 || err != nil {
			return used, out, err
		}
		if out < used {
			copy(p[out:], piece)
		}
		out += len(piece)
		used += n
		if b.owes && used-out >= len(crlf) {
			out += copy(p[out:], crlf)
			b.owes = false
		}
	}
	return used, out, nil
}

// element consumes one element of n bytes, of which piece is handed out; n is zero if the element is incomplete.
func (b *Body) element(p []byte) (n int, piece []byte, err error) {
	switch b.chunked {
	case chunkData:
		n := int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		if b.left == 0 {
			b.chunked = chunkDataEnd
		}
		return n, p[:n], nil
	case chunkDataEnd:
		return b.dataEnd(p)
	case chunkTrailer:
		return b.trailerLine(p)
	case chunkLine:
	}
	return b.sizeLine(p)
}

func (b *Body) dataEnd(p []byte) (n int, piece []byte, err error) {
	switch {
	case p[0] == '\n' && b.lenient():
		n = 1
	case p[0] != '\r' || len(p) > 1 && p[1] != '\n':
		return 0, nil, ErrChunkEnd
	case len(p) == 1:
		return 0, nil, nil
	default:
		n = 2
	}
	b.chunked = chunkLine
	return n, b.line(p, 0, n), nil
}

// lenient reports whether the body is read by the rules for responses, where what has a plain meaning is mended.
func (b *Body) lenient() bool { return b.h.seen.response }

// line returns what is handed out for a line whose content are the first bytes of p and that has n bytes with its end.
func (b *Body) line(p []byte, content, n int) []byte {
	switch {
	case b.h.seen.unchunk:
		return nil
	case n == content+1:
		b.owes = true
		return p[:content]
	}
	return p[:n]
}

func (b *Body) sizeLine(p []byte) (n int, piece []byte, err error) {
	first := b.scanned == 0
	content, n, err := b.wireLine(p, MaxChunkLine, ErrChunkLine)
	if err != nil {
		return 0, nil, err
	}
	line := p[:content]
	if n == 0 {
		if first && !canBeSize(line) {
			b.scanned = 0
			return 0, nil, ErrChunkSize
		}
		return 0, nil, nil
	}
	size, digits, ok := chunkSize(line)
	if !ok {
		return 0, nil, ErrChunkSize
	}
	if digits < content && line[digits] != ';' {
		// RFC 9112 section 7.1.1: "A recipient MUST parse for such bad whitespace and remove it before interpreting the chunk
		// extension or forwarding the chunked message" – which servers disagree on, so that it is not for requests.
		ext := bytes.TrimLeft(line[digits:], " \t")
		if !b.lenient() || len(ext) > 0 && ext[0] != ';' {
			return 0, nil, ErrChunkSize
		}
		content = digits + copy(line[digits:], ext)
		end := copy(p[content:], p[len(line):n])
		b.begin(size)
		return n, b.line(p, content, content+end), nil
	}
	b.begin(size)
	return n, b.line(p, content, n), nil
}

// begin begins a chunk.
func (b *Body) begin(size int64) {
	b.left, b.chunked = size, chunkData
	if size == 0 {
		b.chunked = chunkTrailer
	}
}

// chunkSize parses 1*HEXDIG and checks that what follows can be the rest of a size line: nothing, whitespace or extensions. The size
// is bounded, its zeros are not.
func chunkSize(line []byte) (size int64, digits int, ok bool) {
	for ; digits < len(line); digits++ {
		digit := hexDigit(line[digits])
		if digit < 0 {
			break
		}
		if size > math.MaxInt64>>4 {
			return 0, 0, false
		}
		size = size<<4 | int64(digit)
	}
	rest := line[digits:]
	if digits == 0 || len(rest) > 0 && rest[0] != ';' && rest[0] != ' ' && rest[0] != '\t' {
		return 0, 0, false
	}
	return size, digits, syntax.Clean(rest)
}

// canBeSize reports whether an incomplete line can become a good size line.
func canBeSize(line []byte) bool {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
		if n == 1 {
			return false
		}
	}
	if len(line) == 0 {
		return true
	}
	_, _, ok := chunkSize(line)
	return ok
}

func hexDigit(c byte) int {
	switch {
	case syntax.IsDigit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// wireLine finds the line at the start of p: n bytes with its end, zero as long as it is incomplete, of which content is all
// there is in front of the end. A line longer than limit is the error tooLong.
func (b *Body) wireLine(p []byte, limit int, tooLong error) (content, n int, err error) {
	lf := bytes.IndexByte(p[b.scanned:], '\n')
	if lf >= 0 {
		lf += b.scanned
	}
	b.scanned = 0
	switch {
	case lf < 0 && len(p) > limit+1, lf > limit+1:
		return 0, 0, tooLong
	case lf < 0:
		b.scanned = len(p)
		return len(p), 0, nil
	case lf > 0 && p[lf-1] == '\r':
		return lf - 1, lf + 1, nil
	case b.lenient():
		return lf, lf + 1, nil
	}
	return 0, 0, ErrBareLF
}
