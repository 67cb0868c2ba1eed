// Package netns enters other network namespaces: it makes sockets inside them that are then used from outside.
//
// It must not know what the sockets are for, and nothing may run inside a namespace but the system call that needs it: a
// goroutine started there would run in the process's own namespace, and a blocked one would hold an OS thread.
package netns
