// Package policy is call policy as agents run it: merged, defaulted, validated and free of Kubernetes.
//
// The manager's compile package makes it, wire carries it, and the agent's packages read it. It must not import Kubernetes or
// protobuf, keep state, open sockets or read clocks. Every value is immutable once it is published: readers share them without locks.
package policy
