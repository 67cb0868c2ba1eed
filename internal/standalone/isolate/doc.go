// Package isolate gives a command a network namespace of its own, whose only way out is the data plane: its TCP connections are captured as those of a
// pod are, and its questions to the DNS are answered as on this machine. It needs root, and Linux.
//
// It decides nothing about calls.
package isolate
