// Package http2 is the HTTP/2 codec: it takes frames out of bytes that were read, decodes header blocks, checks messages and appends
// frames to bytes that are to be written, without allocating.
//
// It must not decide anything about a call (no policy, retries or timeouts) nor about which streams there are, and has no sockets,
// clocks, goroutines or logs. Whoever drives it does that, and is the only one to use the values of one connection.
//
// For each connection a driver has a Parser, a Decoder and an Encoder (the two HPACK contexts), the Settings of both sides, a
// SendWindow and a ReceiveWindow, and a Flood; for each stream two windows, a Message per direction, which checks the order and the
// sense of what arrives, and Blocks for the heads it keeps. Parser.Next hands out DATA in pieces as they arrive and header blocks
// whole; Block is a route.View of a request and goes out again through Encoder.AppendHeaders, with the order, the duplicates, the
// cookie crumbs and the never-indexed fields that it came with.
//
// HPACK is our own rather than golang.org/x/net/http2/hpack, which makes a string for each literal that it reads and keeps strings of
// what it writes: that would be several allocations for each request. The tests hold both against each other.
package http2
