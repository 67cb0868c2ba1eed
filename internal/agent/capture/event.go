package capture

// EventKind says what happened.
type EventKind uint8

const (
	// Captured: the pod's new connections come to the agent.
	Captured EventKind = iota
	// Released: the pod is captured no more because nothing is wanted of it, or because the agent stops.
	Released
	// Ended: the pod or its sandbox is gone, and so is its capture. Connections that the pod dialled are of no use any more.
	Ended
	// Troubled: the pod is not captured as wanted; Err says why.
	Troubled
	// Superseded: another agent has taken the pod over.
	Superseded
	// Shedding: the node is overloaded. New connections of all pods, or of those with the most, go direct or, where they fail closed, are refused.
	// No pod is named.
	Shedding
	// Resumed: that is over.
	Resumed
)

// String is the kind as logs show it.
func (k EventKind) String() string {
	return [...]string{"captured", "released", "ended", "troubled", "superseded", "shedding", "resumed"}[k]
}

// Event is something that happened to a pod's capture.
type Event struct {
	Kind EventKind
	Pod  PodRef
	Err  error
}
