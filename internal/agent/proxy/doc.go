// Package proxy serves captured connections: it has their protocol detected (detect) and their policy found (route), and hands them to
// the driver of the protocol (h1, h2) or carries them on as they are (tunnel).
//
// One goroutine owns a connection from end to end. Server accepts, counts, drains and closes connections.
//
// The package must not know where connections come from (capture), decide on retries (call), or keep state beyond a connection
// (routes).
package proxy
