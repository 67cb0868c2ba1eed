package liveapi

import (
	"net/netip"
	"time"
)

// List is how everything but a stream is answered.
type List[T any] struct {
	// Node is the agent's; empty from the manager.
	Node  string    `json:"node,omitempty"`
	At    time.Time `json:"at"`
	Items []T       `json:"items"`
}

// Policy is one destination of a policy that is in force on the node, or looked at by a dry run.
type Policy struct {
	// Policy is namespace/name, or the name of a ClusterRetryPolicy. Merged are all that the settings come from, the least significant first.
	Policy string   `json:"policy"`
	Merged []string `json:"merged"`
	// Target is the destination as the policy names it.
	Target string `json:"target"`
	// Mode is Enforce or DryRun.
	Mode string `json:"mode"`
	// Rules are the names of its rules.
	Rules []string `json:"rules,omitempty"`
	// Pods are those of the node whose calls it governs, as namespace/name.
	Pods []string `json:"pods"`
}

// Breaker is a circuit breaker of a whole destination.
type Breaker struct {
	Policy string `json:"policy"`
	Target string `json:"target"`
	// Destination is the concrete one: namespace/name:port of a Service, host:port, or address:port.
	Destination string `json:"destination"`
	// Rule and Pod say whose calls feed and obey it, if not all.
	Rule string `json:"rule,omitempty"`
	Pod  string `json:"pod,omitempty"`
	// PassedThrough: it is for connections that are passed through.
	PassedThrough bool `json:"passedThrough,omitempty"`
	// DryRun: it rejects nothing.
	DryRun bool `json:"dryRun,omitempty"`
	// State is closed, open or half_open; Since is when it began, Until when an open one begins to probe.
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// OpenedBy is node, cluster or annotation, while it is open.
	OpenedBy string `json:"openedBy,omitempty"`
	// Opened counts how often it has opened.
	Opened uint64 `json:"opened"`
}

// Endpoints are those of one concrete destination.
type Endpoints struct {
	Policy      string     `json:"policy"`
	Destination string     `json:"destination"`
	Endpoints   []Endpoint `json:"endpoints"`
}

// Endpoint is one of them.
type Endpoint struct {
	Address netip.AddrPort `json:"address"`
	// Outstanding are the calls under way to it, FailureWeight is how many its failures weigh as much as when endpoints are compared.
	Outstanding   int     `json:"outstanding"`
	FailureWeight float64 `json:"failureWeight,omitempty"`
	// Judged: it has breakers of its own. They say where it stands.
	Judged []EndpointBreaker `json:"judged,omitempty"`
}

// EndpointBreaker is how the breaker of an endpoint stands.
type EndpointBreaker struct {
	// State is closed, open (the endpoint is ejected) or half_open (it is probed).
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Weight is the part of its share of the calls that it gets, from 0 to 1.
	Weight float64 `json:"weight"`
	// Ejections counts how often it was put out.
	Ejections uint64 `json:"ejections"`
	// Rule and Pod say whose calls feed and obey it, if not all.
	Rule          string `json:"rule,omitempty"`
	Pod           string `json:"pod,omitempty"`
	PassedThrough bool   `json:"passedThrough,omitempty"`
}

// Limit is a limit on calls to one concrete destination.
type Limit struct {
	Policy      string `json:"policy"`
	Target      string `json:"target"`
	Destination string `json:"destination"`
	// Rule and Pod say whose calls it is for, if not all.
	Rule string `json:"rule,omitempty"`
	Pod  string `json:"pod,omitempty"`
	// Kind is Rate, whose numbers are calls per second, or Concurrency, whose numbers are calls at once. Scope is Pod, Node or Cluster.
	Kind  string `json:"kind"`
	Scope string `json:"scope"`
	// Max is the limit as the policies have it, of all nodes where its scope is Cluster. Here is what is in force on this node: its share, or what an
	// adaptive limit has found.
	Max      float64 `json:"max"`
	Here     float64 `json:"here"`
	Adaptive bool    `json:"adaptive,omitempty"`
	// InUse are the calls under way, of a concurrency limit; Waiting are those that wait.
	InUse   int `json:"inUse,omitempty"`
	Waiting int `json:"waiting,omitempty"`
}

// Capture is how the calls of one pod come to the agent.
type Capture struct {
	Pod string `json:"pod"`
	UID string `json:"uid"`
	// Captured: new connections come to the agent. Problem says why not, where they should.
	Captured bool   `json:"captured"`
	Problem  string `json:"problem,omitempty"`
	// Connections are open and captured, Older open and made before the pod was captured: no policy governs them.
	Connections int `json:"connections"`
	Older       int `json:"older,omitempty"`
	// OlderTo are where some of the older ones go.
	OlderTo []netip.AddrPort `json:"olderTo,omitempty"`
	// Foreign is what takes connections in the pod before the agent does.
	Foreign []string `json:"foreign,omitempty"`
	// State is how far the capture is; agents that are older than the field leave it out.
	State CaptureState `json:"state,omitempty"`
	// Since is when the pod was captured the last time.
	Since time.Time `json:"since,omitzero"`
	// Reason is that of Problem in one word, as in the policies' status. Policies are those that select the pod.
	Reason   string   `json:"reason,omitempty"`
	Policies []string `json:"policies,omitempty"`
}

// CaptureState is how far the capture of a pod is.
type CaptureState string

// The states.
const (
	// CaptureDone: new connections come to the agent.
	CaptureDone CaptureState = "captured"
	// CaptureFailed: they should and do not. Problem says why.
	CaptureFailed CaptureState = "failed"
	// CaptureBegun: they are about to.
	CaptureBegun CaptureState = "starting"
	// CaptureAwaited: policies select the pod, and the container runtime does not know it, or not yet.
	CaptureAwaited CaptureState = "notFound"
	// CaptureElsewhere: another agent of the node has taken the pod over.
	CaptureElsewhere CaptureState = "takenOver"
	// CaptureEnds: no policy selects the pod any more.
	CaptureEnds CaptureState = "ending"
)

// TapLine is one line of a tap: a call, or, without one, word that the tap goes on.
type TapLine struct {
	At   time.Time `json:"at"`
	Node string    `json:"node"`
	// Dropped counts the calls since the line before that matched and are not shown: they were more than the tap's rate, or than its reader took.
	Dropped uint64 `json:"dropped,omitempty"`
	Call    *Call  `json:"call,omitempty"`
}

// Call is one call that has ended.
type Call struct {
	Pod      string `json:"pod"`
	Workload string `json:"workload,omitempty"`
	Policy   string `json:"policy"`
	Target   string `json:"target"`
	Rule     string `json:"rule,omitempty"`
	// Method, Host and Path are the request's, the path without its query. Connections that are passed through have a host at most.
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	// To is where the client has sent it.
	To netip.AddrPort `json:"to"`
	// Status is what the client got; left out where it got none.
	Status     int    `json:"status,omitempty"`
	GRPCStatus string `json:"grpcStatus,omitempty"`
	// Kind is how it ended, Cause how its last attempt did where that differs, Decision why it was retried or not, and Detail says more: as in
	// the access log.
	Kind     string `json:"kind"`
	Cause    string `json:"cause,omitempty"`
	Decision string `json:"decision"`
	Detail   string `json:"detail,omitempty"`
	Fallback string `json:"fallback,omitempty"`
	// Truncated: its answer, or its request, broke off.
	Truncated bool `json:"truncated,omitempty"`
	// DryRun is what a dry run would have done.
	DryRun *DryRun `json:"dryRun,omitempty"`
	// HeadSeconds is the time to the head of the response, TookSeconds that to its end.
	HeadSeconds float64 `json:"headSeconds"`
	TookSeconds float64 `json:"tookSeconds"`
	// Attempts are those that were made, Tried what is known of each: of more than 12, the first 11 and the last.
	Attempts int `json:"attempts"`
	// Watched: it was made by kubectl fairlead trace, and not by the pod's programs.
	Watched bool      `json:"watched,omitempty"`
	Tried   []Attempt `json:"tried,omitempty"`
	TraceID string    `json:"traceId,omitempty"`
}

// Attempt is one attempt of a call.
type Attempt struct {
	// Endpoint is where it went; left out where it went nowhere.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	// Start is why it was made: first, retry, hedge, fallback or repair. A retry is made because of the Result of the one before.
	Start string `json:"start"`
	// Result is the status of the response, or the kind of failure; Detail says more.
	Result      string  `json:"result"`
	Detail      string  `json:"detail,omitempty"`
	Reused      bool    `json:"reused,omitempty"`
	TookSeconds float64 `json:"tookSeconds"`
}

// DryRun is what a dry run would have done with a call.
type DryRun struct {
	Policy       string  `json:"policy"`
	Would        string  `json:"would"`
	AfterSeconds float64 `json:"afterSeconds"`
	Detail       string  `json:"detail,omitempty"`
}
