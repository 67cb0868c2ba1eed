// Package transport is how the proxy reads and writes TCP connections: Conn, with or without a security layer, the Connector that
// makes them, and the Mover that moves bytes from one to another.
//
// It needs as few system calls as an exchange can do with. net.TCPConn tries every read before it waits, so a proxy that writes a
// request and then reads the response pays for a read that cannot succeed yet. A Conn prepares the wait first, writes, waits, and
// reads once. Deadlines are kept coarse: changing one costs more than an early wake-up now and then.
//
// The package must not know HTTP, pools or policy, and must not choose what is connected to.
package transport
