package pods

// Ref names a pod.
type Ref struct{ UID, Namespace, Name string }

// Sandbox is the running sandbox of a pod: the holder of its network namespace. A pod whose sandbox dies gets another one,
// with another ID and another network namespace.
type Sandbox struct {
	Pod Ref
	// ID is the runtime's name for the sandbox.
	ID string
	// NetNS is the path of the network namespace as this process sees it; empty when Host or Err is set.
	NetNS string
	// Host is set for pods that share the node's own network namespace.
	Host bool
	// Err says why the runtime's description of the sandbox does not lead to a network namespace. It stays that way.
	Err error
}
