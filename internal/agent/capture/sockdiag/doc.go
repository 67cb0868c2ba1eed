// Package sockdiag asks the kernel about the TCP sockets of a network namespace, whoever holds them.
//
// It must not know what they are used for, and changes nothing.
package sockdiag
