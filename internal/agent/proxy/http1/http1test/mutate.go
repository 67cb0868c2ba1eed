package http1test

import "strings"

// nasty are pieces of messages that have deceived parsers.
var nasty = []string{
	"\r", "\n", "\r\n", "\r\n\r\n", "\x00", " ", "\t", ":", ",", ";", "0", "\x0b", "\x7f", "\xa0", "\xff", "0\r\n\r\n", "1\r\nZ\r\n", "0x1\r\nZ\r\n",
	"Transfer-Encoding: chunked\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding:\x0bchunked\r\n",
	"Transfer-Encoding: gzip, chunked\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length : 6\r\n", "Content-Length: +7\r\n",
	"Content-Length: 1, 2\r\n", "Content-Length: 3, 3\r\n", "Content-Length: 99999999999999999999\r\n", " folded\r\n", "\tContent-Length: 4\r\n", "Host: b\r\n",
	"Host: a, b\r\n", "Connection: close\r\n", "Connection: Content-Length\r\n", "Connection: a b\r\n", "Upgrade: h2c\r\n", "X: y\n", "X: y\r", "no colon\r\n",
	": z\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 204 None\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/2.0", "HTTP/1.1", "GET /s HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET  HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "chunked", "identity", "h2c", "7fffffffffffffff\r\n", "ffffffffffffffff1\r\n", "00000000000000000001",
}

// Mutate changes s in a few places.
func (g Generator) Mutate(s string) string {
	for range 1 + g.IntN(3) {
		s = g.mutateOnce(s)
	}
	return s
}

func (g Generator) mutateOnce(s string) string {
	if s == "" {
		return nasty[g.IntN(len(nasty))]
	}
	i := g.IntN(len(s) + 1)
	j := min(i+g.IntN(1+g.IntN(30)), len(s))
	switch g.IntN(10) {
	case 0: // another byte
		if i < len(s) {
			return s[:i] + string([]byte{byte(g.IntN(256))}) + s[i+1:]
		}
		return s
	case 1:
		return s[:i] + s[j:]
	case 2:
		return s[:i] + s[i:j] + s[i:]
	case 3: // the same somewhere else
		k := g.IntN(len(s) + 1)
		return s[:k] + s[i:j] + s[k:]
	case 4: // a line end of another kind
		return replaceNext(s, i, "\r\n", g.pick("\n", "\r", "\r\r\n", "\n\r", "", " \r\n", "\r\n "))
	case 5: // in front of a line
		return replaceNext(s, i, "\n", "\n"+nasty[g.IntN(len(nasty))])
	case 6: // a colon of another kind
		return replaceNext(s, i, ":", g.pick(" :", "\t:", "", "::", "\x00:", ";"))
	case 7: // whitespace in front of a chunk extension
		return replaceNext(s, i, ";", g.pick(" ", "\t", "\r", "\x00")+";")
	case 8:
		return s[:i]
	}
	return s[:i] + nasty[g.IntN(len(nasty))] + s[i:]
}

// replaceNext replaces what comes first from an index on, if it comes.
func replaceNext(s string, from int, old, by string) string {
	return s[:from] + strings.Replace(s[from:], old, by, 1)
}
