// Package connectproxy asks an HTTP proxy for a connection to a host (CONNECT, RFC 9110 section 9.3.6), on a connection to that proxy. Its errors
// distinguish what the proxy answers, so that nobody repeats what cannot succeed.
//
// It reads nothing of what follows the proxy's answer, and never shows or keeps credentials. The package must not dial, and must not know
// policies or calls.
package connectproxy
