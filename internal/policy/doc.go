// Package policy is the blueprint: call policy as agents run it: merged, defaulted, validated and free of Kubernetes.
//
// The manager's compile room draws blueprints, the wire room carries them, the agent's rooms read them. The package must not
// import Kubernetes or protobuf, keep state, open sockets or read clocks. Every value is immutable once it is published:
// readers share them without locks.
package policy
