// Package h2 drives the calls of HTTP/2 connections: it reads frames, has each stream's call decide, and forwards frames between
// clients' connections and connections to servers that many calls share.
//
// A Session is a client's connection, a serverConn is one to a server; each has one goroutine, which reads. Whoever has read something acts on it
// at once, on both sides: it appends to the output of other connections and flushes those that it has touched when its input is used
// up, so that an exchange takes no hand-over to another goroutine, and no stream has a goroutine, channel or timer of its own. A
// goroutine beside exists while addresses are looked up or a connection is made, and while a connection takes nothing that has to be written.
//
// Session.mu guards a session and its streams with their attempts, serverConn.mu a serverConn; the first may be held when the second or a
// pool's lock is taken, never the other way around. Nothing blocks under them.
//
// The package must not find out what a new connection carries, choose policies or endpoints, or decide what follows from a failure.
package h2
