package http1

import "bytes"

// trailerLine takes in one line of the trailer section, of which the empty one ends the body.
func (b *Body) trailerLine(p []byte) (n int, piece []byte, err error) {
	content, n, err := b.wireLine(p, MaxFields-b.trailer, ErrHeadTooLarge)
	if n == 0 || err != nil {
		return 0, nil, err
	}
	if content == 0 {
		b.framing = NoBody
		return n, b.line(p, 0, n), nil
	}
	if b.lenient() {
		if content, n = b.mendTrailer(p, content, n); n == 0 {
			return 0, nil, nil
		}
	}
	name, _, err := splitField(p[:content])
	if err != nil && b.lenient() {
		name, _, err = splitLoose(p[:content])
	}
	if err != nil {
		return 0, nil, err
	}
	b.trailer += n
	k := classify(name)
	switch {
	case forbiddenTrailer(k) && !b.lenient():
		return 0, nil, ErrTrailer
	case forbiddenTrailer(k), b.h.drops(k, name):
		return n, nil, nil
	}
	return n, b.line(p, content, n), nil
}

// forbiddenTrailer reports whether a field must not come in a trailer section. RFC 9110 section 6.5.1 does not allow fields for
// framing, routing and the connection's control there, where they could only deceive a recipient that merges them into the
// header.
func forbiddenTrailer(k known) bool {
	switch k {
	case other, fExpect, fMaxForwards:
		return false
	default:
		return true
	}
}

// mendTrailer does to a line of a response's trailer section what mend does to the lines of its head. n is zero if more must be
// read first.
func (b *Body) mendTrailer(p []byte, content, n int) (mended, m int) {
	for {
		if n == len(p) {
			return 0, 0 // the next line may continue this one; there is one, if only the empty one
		}
		if p[n] != ' ' && p[n] != '\t' {
			break
		}
		for i := content; i < n; i++ {
			p[i] = ' '
		}
		lf := bytes.IndexByte(p[n:], '\n')
		if lf < 0 {
			return 0, 0
		}
		content, n = n+len(withoutCR(p[n:n+lf])), n+lf+1
	}
	mendLine(p[:content])
	return content, n
}

// mendLine exchanges whitespace in front of the colon and the colon, behind which it means nothing, and replaces what is dangerous in
// the value.
func mendLine(line []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return
	}
	if name := len(bytes.TrimRight(line[:colon], " \t")); name < colon {
		line[name], line[colon] = ':', ' '
	}
	spaceOut(line[colon:])
}
