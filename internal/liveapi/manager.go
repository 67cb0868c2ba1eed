package liveapi

import "time"

// LongestSeconds is from where on it is not measured how long a call takes: of longer ones latencies say this or little more.
const LongestSeconds = 50

// Inventory is who has called what.
type Inventory struct {
	// From and To are the time that it is about. It is short at first: the manager keeps what it has heard since it leads.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// StepSeconds is how much time each point of a flow is about; left out where none were asked for.
	StepSeconds float64 `json:"stepSeconds,omitempty"`
	// Flows are those with the most calls first.
	Flows []Flow `json:"flows"`
	// LeftOut counts the flows beyond the limit that was asked for, and LeftOutCalls their calls.
	LeftOut      int    `json:"leftOut,omitempty"`
	LeftOutCalls uint64 `json:"leftOutCalls,omitempty"`
	// Total are the calls of all flows that were asked for, those beyond the limit too.
	Total Flow `json:"total"`
	// Other are the calls that were not counted apart, whatever flows were asked for: there are more flows than are kept.
	Other Flow `json:"other"`
}

// Flow is what one workload has called.
type Flow struct {
	// Namespace and Workload say who.
	Namespace string `json:"namespace,omitempty"`
	Workload  string `json:"workload,omitempty"`
	// Policy is what governs the calls, or, as a dry run, looks at them; Target is its destination as it names it.
	Policy string `json:"policy,omitempty"`
	Target string `json:"target,omitempty"`
	// Destination is the concrete one: namespace/name:port of a Service, host:port, or address:port. Service is that of the address that was called,
	// where the destination does not say so and there is one.
	Destination string `json:"destination,omitempty"`
	Service     string `json:"service,omitempty"`
	// Protocol is HTTP, gRPC, TLS or TCP. Of the last two each connection is a call.
	Protocol string `json:"protocol,omitempty"`
	Calls    uint64 `json:"calls"`
	// PerSecond is over the whole time of the answer.
	PerSecond float64 `json:"perSecond"`
	Successes uint64  `json:"successes"`
	Retries   uint64  `json:"retries"`
	// P50Seconds and P99Seconds are the time to the head of the response, or to the connection, 12 % off at most below LongestSeconds.
	P50Seconds float64 `json:"p50Seconds,omitempty"`
	P99Seconds float64 `json:"p99Seconds,omitempty"`
	// Breaker is the state of the policy's breakers at the target now: open, half_open or closed, on whatever node. Left out where there are none.
	Breaker string  `json:"breaker,omitempty"`
	Points  []Point `json:"points,omitempty"`
}

// Point is one step of a flow.
type Point struct {
	Calls      uint64  `json:"calls"`
	Successes  uint64  `json:"successes"`
	Retries    uint64  `json:"retries,omitempty"`
	P50Seconds float64 `json:"p50Seconds,omitempty"`
	P99Seconds float64 `json:"p99Seconds,omitempty"`
}

// Traffic is that under one policy at one of its destinations in the last minute.
type Traffic struct {
	Policy     string  `json:"policy"`
	Target     string  `json:"target"`
	PerSecond  float64 `json:"perSecond"`
	Calls      uint64  `json:"calls"`
	Successes  uint64  `json:"successes"`
	Retries    uint64  `json:"retries"`
	P50Seconds float64 `json:"p50Seconds,omitempty"`
	P99Seconds float64 `json:"p99Seconds,omitempty"`
	// BreakersOpen and BreakersHalfOpen are those of all nodes, BreakerSeconds for how long the worst state has lasted.
	BreakersOpen     int     `json:"breakersOpen,omitempty"`
	BreakersHalfOpen int     `json:"breakersHalfOpen,omitempty"`
	BreakerSeconds   float64 `json:"breakerSeconds,omitempty"`
	// Ejected are the endpoints that are kept out, on the node that keeps out the most.
	Ejected     int `json:"ejected,omitempty"`
	Connections int `json:"connections,omitempty"`
}

// Node is one node with pods that policies govern, or with an agent.
type Node struct {
	Node string `json:"node"`
	// Agents are the connected ones: none, one, or two while an upgrade goes on.
	Agents []AgentState `json:"agents"`
	// Pods are those that policies govern.
	Pods int `json:"pods"`
	// NotProgrammed are the sets of policies that the node has not put in force in their latest version.
	NotProgrammed int `json:"notProgrammed,omitempty"`
}

// AgentState is a connected agent.
type AgentState struct {
	PodUID  string `json:"podUID"`
	Version string `json:"version,omitempty"`
	// Missing are the features of the manager that the agent does not have, since it is older.
	Missing []string `json:"missing,omitempty"`
}

// ManagerState is what the manager that leads knows of itself.
type ManagerState struct {
	// At is its time.
	At time.Time `json:"at"`
	// EgressCAExpires is when the egress CA that signs ends; left out while there is none.
	EgressCAExpires time.Time `json:"egressCAExpires,omitzero"`
}

// Change is something that has changed.
type Change struct {
	At time.Time `json:"at"`
	// Kind is PolicyChanged, PolicyDeleted, AgentConnected, AgentGone, BreakerGone, or the reason of the Event that was recorded, such as BreakerOpened.
	Kind string `json:"kind"`
	// Policy and Node say what it is about, as far as it is about one.
	Policy string `json:"policy,omitempty"`
	Node   string `json:"node,omitempty"`
	// Target is the destination of the policy that BreakerOpened, BreakerClosed and BreakerGone are about, as in Flow; a wide one (any, a pattern of hosts, a block of
	// addresses) is one target, whatever of it is called. Managers of an earlier version leave it out, and have such changes of the first and the last
	// breaker of a policy alone.
	Target string `json:"target,omitempty"`
	Note   string `json:"note,omitempty"`
	// FieldManager has changed the policy's spec, as its managedFields say: the name of a program, such as kubectl-edit or argocd-controller, at most 128
	// bytes. Operation is how: Apply or Update. Both are left out where that cannot be known, and by managers of an earlier version.
	FieldManager string `json:"fieldManager,omitempty"`
	Operation    string `json:"operation,omitempty"`
}
