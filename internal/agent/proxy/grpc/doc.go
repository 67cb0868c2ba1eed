// Package grpc knows what the fields of an HTTP/2 message say for a gRPC call, and what the agent's own answers say to one
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
//
// It must not read or write frames, look at messages, keep time, or decide what follows from a status: that is call's.
package grpc

import "bytes"

// contentType begins the media types of gRPC.
const contentType = "application/grpc"

// Is reports whether a Content-Type is that of gRPC: "application/grpc" [("+proto" / "+json" / {custom})]. gRPC-Web is another protocol,
// though its type begins alike.
func Is(value []byte) bool {
	n := len(contentType)
	if len(value) < n || !bytes.EqualFold(value[:n], []byte(contentType)) {
		return false
	}
	if len(value) == n {
		return true
	}
	switch value[n] {
	case '+', ';', ' ', '\t': // white space may stand before a parameter
		return true
	}
	return false
}
