// Package transport reads and writes TCP connections with as few system calls as an exchange needs.
//
// net.TCPConn tries every read before it waits, so a proxy that writes a request and then reads the response pays for a read
// that cannot succeed yet. A Conn prepares the wait first, writes, waits, and reads once. Deadlines are kept coarse: changing
// one costs more than an early wake-up now and then. The package must not know HTTP, pools or policy.
package transport
