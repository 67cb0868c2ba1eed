// Package detect determines from a connection's first bytes which protocol its client speaks.
//
// It must not consume or answer anything, and must not decide what becomes of the connection.
package detect

import (
	"bytes"
	"strings"
)

// Protocol is what the first bytes look like.
type Protocol uint8

// The protocols.
const (
	// Undecided: more bytes are needed.
	Undecided Protocol = iota
	// HTTP1: a request line of HTTP/1.x.
	HTTP1
	// HTTP2: the connection preface of HTTP/2 (RFC 9113 section 3.4).
	HTTP2
	// TLS: a TLS handshake record with a ClientHello.
	TLS
	// Other: anything else that a client says first.
	Other
	// Silent: the client sent nothing within the time given; probably it waits for the server to speak first.
	Silent
)

// Limit is how many bytes Detect needs at most: given as many it never returns Undecided.
const Limit = lineLimit + 2*maxEmptyLines

// lineLimit is as much of a first line as is waited for.
const lineLimit = 4 << 10

const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	// maxMethod is longer than any method in use; a longer word is no method.
	maxMethod = 64
	// maxEmptyLines is how many empty lines are ignored in front of a request, as the codec does.
	maxEmptyLines = 2
)

// Detect judges a connection's first bytes. It says HTTP1 only of a line that ends like a request line, for other text
// protocols also begin with words and spaces, and a connection wrongly taken for HTTP is broken while one wrongly taken for
// something else only passes unhelped.
func Detect(b []byte) Protocol {
	switch {
	case len(b) == 0:
		return Undecided
	case b[0] == recordHandshake:
		return detectTLS(b)
	case bytes.HasPrefix(b, []byte(preface[:min(len(b), len(preface))])):
		if len(b) < len(preface) {
			return Undecided
		}
		return HTTP2
	}
	return detectHTTP1(b)
}

func detectHTTP1(b []byte) Protocol {
	b = skipEmptyLines(b)
	method := 0
	for method < len(b) && method <= maxMethod && isToken(b[method]) {
		method++
	}
	switch {
	case method > maxMethod:
		return Other
	case method == len(b):
		return Undecided
	case method == 0 || b[method] != ' ':
		return Other
	}
	line := b[:min(len(b), lineLimit)]
	lf := bytes.IndexByte(line, '\n')
	if lf >= 0 {
		return detectVersion(line[:lf])
	}
	if len(b) < lineLimit {
		return Undecided
	}
	// A very long target. What follows the method tells it from text that happens to have no line end.
	target := b[method+1:]
	if target[0] == '/' || bytes.HasPrefix(target, []byte("http://")) || bytes.HasPrefix(target, []byte("https://")) {
		return HTTP1
	}
	return Other
}

// skipEmptyLines takes off what old clients send in front of a request (RFC 9112 section 2.2).
func skipEmptyLines(b []byte) []byte {
	for range maxEmptyLines {
		switch {
		case bytes.HasPrefix(b, []byte("\r\n")):
			b = b[2:]
		case len(b) == 1 && b[0] == '\r':
			return nil
		}
	}
	return b
}

// isToken accepts what a method may be made of (RFC 9110 section 5.6.2), so that a misspelt method gets its answer.
func isToken(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// likely reports whether undecided bytes begin as most requests do: with a well-known method, or a part of one.
func likely(b []byte) bool {
	b = skipEmptyLines(b)
	word, _, whole := bytes.Cut(b, []byte(" "))
	for _, m := range [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"} {
		if string(word) == m || !whole && len(word) > 0 && strings.HasPrefix(m, string(word)) {
			return true
		}
	}
	return false
}

// detectVersion looks at the end of the first line, without its line feed.
func detectVersion(line []byte) Protocol {
	line = bytes.TrimSuffix(line, []byte("\r"))
	const version = " HTTP/1.1"
	if len(line) < len(version) {
		return Other
	}
	v := line[len(line)-len(version):]
	if string(v[:len(version)-1]) == " HTTP/1." && '0' <= v[len(version)-1] && v[len(version)-1] <= '9' {
		return HTTP1
	}
	return Other
}
