// Package http2test holds peers for tests of HTTP/2 forwarding, every frame of which is the test's own: a Server that scripts answer
// for, and a Client that does what a test says. Both can behave well, and as badly as they are asked to. They use real sockets.
//
// They are made on the Framer and the HPACK of golang.org/x/net. They must not use the codec that they judge.
//
// A Conn reads by itself: it acknowledges SETTINGS and PING, gives back windows, and keeps what it has seen, unless its Options say
// otherwise. Scripts write. All that waits ends when the connection does, or after Patience.
package http2test
