// Package http1 is the HTTP/1.1 codec: it reads message heads strictly, forwards them as read and streams bodies
// by reference, without allocating.
//
// It must not decide anything about a call (no policy, retries or timeouts), must not set deadlines, start goroutines, log or
// count. Whoever drives it does that.
//
// A Reader owns the read side of one connection. It parses a head in place in a pooled buffer (ReadRequest, ReadResponse), keeps
// those bytes in place until Finish, so that a request can be sent again, and streams the body behind it (Body). Between
// messages it holds no buffer.
//
// Strictness (RFC 9112, rule 27): a request that two parsers could understand differently is refused. A response is mended
// where RFC 9112 says how, or where its meaning is plain, and parsed as strictly as a request then (lenient.go). What is accepted is
// forwarded as the bytes that were read, minus hop-by-hop fields (RFC 9110 section 7.6.1).
package http1
