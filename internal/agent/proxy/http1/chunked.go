package http1

import "bytes"

type chunkState uint8

const (
	chunkLine    chunkState = iota // at a chunk's size line
	chunkData                      // inside a chunk's data
	chunkDataEnd                   // at the CRLF behind the data
	chunkTrailer                   // in the trailer section
)

const (
	// maxChunkLine bounds a size line with its extensions.
	maxChunkLine = 1 << 10
	// maxChunkDigits bounds the size itself: anything longer is an attempt at overflow.
	maxChunkDigits = 15
)

// chunks walks through p and returns how much of it can be handed out: data as it comes, lines when they are complete and
// found good (RFC 9112 section 7.1).
func (b *Body) chunks(p []byte) (int, error) {
	at := 0
	for at < len(p) && b.framing == Chunked {
		n, err := b.chunkStep(p[at:])
		if n == 0 || err != nil {
			return at, err
		}
		at += n
	}
	return at, nil
}

// chunkStep consumes one element, or zero bytes if it is incomplete.
func (b *Body) chunkStep(p []byte) (int, error) {
	switch b.chunked {
	case chunkData:
		n := min(int64(len(p)), b.left)
		b.left -= n
		if b.left == 0 {
			b.chunked = chunkDataEnd
		}
		return int(n), nil
	case chunkDataEnd:
		if p[0] != '\r' || len(p) > 1 && p[1] != '\n' {
			return 0, ErrChunkEnd
		}
		if len(p) == 1 {
			return 0, nil
		}
		b.chunked = chunkLine
		return 2, nil
	case chunkTrailer:
		return b.trailerLine(p)
	case chunkLine:
	}
	return b.sizeLine(p)
}

func (b *Body) sizeLine(p []byte) (int, error) {
	line, ok, err := wireLine(p, maxChunkLine, ErrChunkSize)
	if !ok || err != nil {
		return 0, err
	}
	size, ok := chunkSize(line)
	if !ok {
		return 0, ErrChunkSize
	}
	b.left, b.chunked = size, chunkData
	if size == 0 {
		b.chunked = chunkTrailer
	}
	return len(line) + 2, nil
}

// chunkSize parses 1*HEXDIG, followed by nothing or by extensions. The bad whitespace that the grammar allows before a
// semicolon is refused: servers disagree on it.
func chunkSize(line []byte) (int64, bool) {
	var size int64
	i := 0
	for ; i < len(line); i++ {
		digit := hexDigit(line[i])
		if digit < 0 {
			break
		}
		if i == maxChunkDigits {
			return 0, false
		}
		size = size<<4 | int64(digit)
	}
	if i == 0 {
		return 0, false
	}
	return size, i == len(line) || line[i] == ';' && cleanText(line[i:])
}

func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// trailerLine takes in one line of the trailer section, of which the empty one ends the body.
func (b *Body) trailerLine(p []byte) (int, error) {
	line, ok, err := wireLine(p, MaxFields-b.trailer, ErrHeadTooLarge)
	if !ok || err != nil {
		return 0, err
	}
	if len(line) == 0 {
		b.framing = NoBody
		return 2, nil
	}
	name, _, err := splitField(line)
	if err != nil {
		return 0, err
	}
	// RFC 9110 section 6.5.1: fields for framing, routing and connection control are not allowed in trailers, where they
	// could only deceive a recipient that merges them into the header.
	if k := classify(name); k != other && k != fExpect {
		return 0, ErrTrailer
	}
	b.trailer += len(line) + 2
	return len(line) + 2, nil
}

// wireLine returns the line at the start of p without its CRLF; ok is false as long as it is incomplete. A line longer than
// limit is the error tooLong.
func wireLine(p []byte, limit int, tooLong error) (line []byte, ok bool, err error) {
	lf := bytes.IndexByte(p, '\n')
	switch {
	case lf < 0 && len(p) > limit+1, lf > limit+1:
		return nil, false, tooLong
	case lf < 0:
		return nil, false, nil
	case lf == 0 || p[lf-1] != '\r':
		return nil, false, ErrBareLF
	}
	return p[:lf-1], true, nil
}
