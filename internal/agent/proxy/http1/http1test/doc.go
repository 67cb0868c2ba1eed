// Package http1test holds what tests of HTTP/1.1 forwarding measure it by: a strict reader of messages, written from the text of
// RFC 9112 without regard to speed, and a generator of exchanges.
//
// It must not use the codec that it judges.
package http1test
