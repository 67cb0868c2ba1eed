package model

import (
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// Part is what every answer begins with.
type Part struct {
	At time.Time `json:"at"`
	// Notes are sentences about what is missing in the answer, and why: rights, agents that did not answer, a manager that keeps no inventory.
	Notes []string `json:"notes,omitempty"`
}

// Cluster is what the head of each page shows, and the names for its search.
type Cluster struct {
	Part
	// Context is the kubeconfig's context, Server the API server's address; both empty where the dashboard runs in the cluster.
	Context string `json:"context,omitempty"`
	Server  string `json:"server,omitempty"`
	// Version is that of the program that serves the dashboard.
	Version string `json:"version"`
	// Manager and Agents are fairlead's own programs; left out where they cannot be read.
	Manager *Component `json:"manager,omitempty"`
	Agents  *Component `json:"agents,omitempty"`
	// Policies counts them by whether they need attention.
	Policies Counts `json:"policies"`
	// BreakersOpen counts the policies that have open breakers.
	BreakersOpen int `json:"breakersOpen"`
	// Total are the calls of the last minute.
	Total Figures `json:"total"`
	// Names are for the search.
	Names Names `json:"names"`
}

// Component is one of fairlead's programs.
type Component struct {
	Image   string `json:"image"`
	Desired int32  `json:"desired"`
	Ready   int32  `json:"ready"`
	Updated int32  `json:"updated"`
}

// Counts are how many policies there are, are ready, and need attention.
type Counts struct {
	All       int `json:"all"`
	Ready     int `json:"ready"`
	Attention int `json:"attention"`
}

// Names are what can be searched for, each list sorted. Policies are as PolicyRow.Key, workloads namespace/workload, destinations as in flows.
type Names struct {
	Namespaces   []string `json:"namespaces"`
	Policies     []string `json:"policies"`
	Workloads    []string `json:"workloads"`
	Destinations []string `json:"destinations"`
	Nodes        []string `json:"nodes"`
}

// Figures sum up calls.
type Figures struct {
	Calls      uint64  `json:"calls"`
	PerSecond  float64 `json:"perSecond"`
	Successes  uint64  `json:"successes"`
	Retries    uint64  `json:"retries"`
	P50Seconds float64 `json:"p50Seconds,omitempty"`
	P99Seconds float64 `json:"p99Seconds,omitempty"`
}

// Series is what calls did over time: a point for each step from From on. The last one may be shorter. At no calls a point is all zeros.
type Series struct {
	From        time.Time       `json:"from"`
	To          time.Time       `json:"to"`
	StepSeconds float64         `json:"stepSeconds"`
	Points      []liveapi.Point `json:"points"`
}

// Overview is who calls what.
type Overview struct {
	Part
	// Total is what all flows that were asked for sum up to, those that are left out too; Series is the same over time.
	Total  Figures `json:"total"`
	Series Series  `json:"series"`
	// Flows are those with the most calls first, without points. Each is an edge of the graph, from namespace/workload to destination.
	Flows []liveapi.Flow `json:"flows"`
	// LeftOut counts flows beyond the limit, and LeftOutCalls their calls. Other counts calls of all namespaces that the manager does not keep apart.
	LeftOut      int    `json:"leftOut,omitempty"`
	LeftOutCalls uint64 `json:"leftOutCalls,omitempty"`
	Other        uint64 `json:"other,omitempty"`
}

// Policies are all policies.
type Policies struct {
	Part
	Items []PolicyRow `json:"items"`
}

// State is how a policy does.
type State string

// The states. Attention: it is in force, and something about it is worth a look.
const (
	Ready     State = "ready"
	Attention State = "attention"
	NotReady  State = "notReady"
	Unseen    State = "unseen" // no manager has looked at it
)

// PolicyRow is a policy in a list.
type PolicyRow struct {
	// Key is namespace/name, or name. Kind is RetryPolicy or ClusterRetryPolicy.
	Key  string `json:"key"`
	Kind string `json:"kind"`
	// Mode is Enforce, DryRun or Disabled.
	Mode string `json:"mode,omitempty"`
	// To are its destinations in one line.
	To    string `json:"to,omitempty"`
	State State  `json:"state"`
	// Reasons say why it is not ready or is worth a look, such as PartiallyEnforced, BreakerOpen. Message is the sentence of the first.
	Reasons []string `json:"reasons,omitempty"`
	Message string   `json:"message,omitempty"`
	// Pods are those that it governs; Nodes how many run them, Programmed how many of these have it in force, Failed how many refuse it.
	Pods       int `json:"pods"`
	Nodes      int `json:"nodes"`
	Programmed int `json:"programmed"`
	Failed     int `json:"failed,omitempty"`
	// Figures are of the last minute; left out where there are none. Breaker is the worst state: open, half_open or closed.
	Figures *Figures `json:"figures,omitempty"`
	Breaker string   `json:"breaker,omitempty"`
}

// Nodes are all nodes.
type Nodes struct {
	Part
	Items []liveapi.Node `json:"items"`
}

// Breakers are the destinations of policies with breakers that are not closed, or endpoints that are kept out: those with the most calls first.
type Breakers struct {
	Part
	Items []liveapi.Traffic `json:"items"`
}

// Changes are what has changed, over how calls fared.
type Changes struct {
	Part
	// Series is that of all calls, or of the policy that was asked for.
	Series Series `json:"series"`
	// Items are the latest first.
	Items []liveapi.Change `json:"items"`
	// More: there are earlier ones in that time, beyond the limit.
	More bool `json:"more,omitempty"`
}

// Problems are what doctor finds.
type Problems struct {
	Part
	Problems int       `json:"problems"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"`
}

// Finding is the result of a check: ok, warning, problem or unknown.
type Finding struct {
	Group  string `json:"group"`
	Result string `json:"result"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"`
	// Docs is the address of the page that explains it.
	Docs string `json:"docs,omitempty"`
}
