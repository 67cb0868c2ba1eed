package model

// What is asked for by GET and answered once. Parameters are in the query; each may be left out unless it says otherwise.
const (
	// ClusterPath: Cluster.
	ClusterPath = "api/v1/cluster"
	// OverviewPath: Overview. Parameters: since (a duration from 10s to 1h, 10m if left out), namespace, workload, policy (exact), destination (contained),
	// limit (flows, 1 to 2000, 500 if left out).
	OverviewPath = "api/v1/overview"
	// PoliciesPath: Policies, all of them.
	PoliciesPath = "api/v1/policies"
	// PolicyPath: Policy. Parameters: name (needed; namespace/name, or the name of a ClusterRetryPolicy), since.
	PolicyPath = "api/v1/policy"
	// DestinationPath: Destination. Parameters: name (needed; as Flow has it), since.
	DestinationPath = "api/v1/destination"
	// ChangesPath: Changes. Parameters: since, policy, node, kind, limit (1 to 1000, 300 if left out).
	ChangesPath = "api/v1/changes"
	// BreakersPath: Breakers.
	BreakersPath = "api/v1/breakers"
	// NodesPath: Nodes, all of them.
	NodesPath = "api/v1/nodes"
	// ProblemsPath: Problems.
	ProblemsPath = "api/v1/problems"
)

// Streams of server-sent events. Between events a comment is sent every 15 seconds.
const (
	// EventsPath says what has changed. Its events are Hello once, then Changed.
	EventsPath = "api/v1/events"
	// CallsPath shows calls while they end. Its events are Call, Dropped and Troubles. Parameters are those of kubectl fairlead tap: namespace, pod
	// (needs namespace), workload, policy, host, status (503, 5xx), outcome (succeeded, failed, retried …), node, rate (calls per second and node, 1 to 1000).
	CallsPath = "api/v1/calls"
)

// The names of events. The data of each is JSON.
const (
	// HelloEvent has Versions, of all topics.
	HelloEvent = "hello"
	// ChangedEvent has Versions, of the topics that have changed: what a page shows of them is to be asked for anew. Changes that come
	// close together are one event.
	ChangedEvent = "changed"
	// CallEvent has a liveapi.TapLine with a call.
	CallEvent = "call"
	// DroppedEvent has Dropped.
	DroppedEvent = "dropped"
	// TroublesEvent has Troubles, which take the place of those before: what cannot be read now, while the stream goes on with what can.
	TroublesEvent = "troubles"
)

// Topic is something that changes together.
type Topic string

// The topics. Traffic is about overview, policies (their figures), policy, destination and changes; it changes every ten seconds, as the manager counts.
const (
	TopicTraffic  Topic = "traffic"
	TopicPolicies Topic = "policies"
	TopicNodes    Topic = "nodes"
	TopicChanges  Topic = "changes"
	TopicProblems Topic = "problems"
)

// Versions numbers the state of topics. Numbers grow while the server runs, and begin anew with it: only whether one differs says something.
type Versions map[Topic]uint64

// Problem is why something could not be answered, in a sentence that says what helps.
type Problem struct {
	Message string `json:"message"`
}

// Troubles are sentences about what cannot be read now. Without any all can be.
type Troubles struct {
	Messages []string `json:"messages"`
}

// Dropped counts calls of a node that matched and are not shown.
type Dropped struct {
	Node  string `json:"node"`
	Calls uint64 `json:"calls"`
}
