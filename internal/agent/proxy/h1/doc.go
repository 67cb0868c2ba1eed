// Package h1 drives the calls of HTTP/1 connections: it reads requests, has drive place and repeat them, and forwards what comes back.
//
// One goroutine owns a connection from end to end, and with it a Session; what a session needs only while it serves a request is in
// an exchange, which is pooled. In steady state a call costs two reads, two writes, no allocation, no timer change and no hand-over to
// another goroutine. Requests that do not fit one write are sent by a second goroutine, so that both directions are watched.
//
// The package must not find out what a new connection carries, choose policies or endpoints, or decide what follows from a failure.
package h1
