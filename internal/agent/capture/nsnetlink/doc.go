// Package nsnetlink talks netlink inside a pod's network namespace: it opens sockets there, and writes and reads messages.
//
// It must not know what the messages are about.
package nsnetlink
