package model

import (
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// Destination is the page of one concrete destination: a Service's port, a host or an address.
type Destination struct {
	Part
	Name    string  `json:"name"`
	Service string  `json:"service,omitempty"`
	Total   Figures `json:"total"`
	Series  Series  `json:"series"`
	// Flows are who calls it, under which policy, with the most calls first, 100 at most.
	Flows []liveapi.Flow `json:"flows"`
	// Agents is how many there are whose pods may call it, Asked how many of them have answered: at most 200 are asked.
	Agents int `json:"agents"`
	Asked  int `json:"asked"`
	// Endpoints are those that agents choose among, by address.
	Endpoints []Endpoint `json:"endpoints"`
	// Breakers are those of the whole destination that are not closed, or have been open: the open ones first, those of dry runs last, 200 at most. BreakersLeftOut
	// counts those beyond that, ClosedBreakers those that have never been open, but for those of dry runs.
	Breakers        []NodeBreaker `json:"breakers"`
	ClosedBreakers  int           `json:"closedBreakers"`
	BreakersLeftOut int           `json:"breakersLeftOut,omitempty"`
	// Limits are the rate and concurrency limits in force there.
	Limits []Limit `json:"limits"`
	// Timeline are the changes of the policies in Flows: edits, rollouts, endpoints, and breakers that opened and closed, of the targets in Flows alone. The
	// latest first, 100 at most.
	Timeline []liveapi.Change `json:"timeline"`
}

// Endpoint is an endpoint as the asked agents see it together. Each agent judges for itself.
type Endpoint struct {
	Address string `json:"address"`
	// Nodes have it; Ejected and Probed count those that keep it out or probe it.
	Nodes   int `json:"nodes"`
	Ejected int `json:"ejected,omitempty"`
	Probed  int `json:"probed,omitempty"`
	// Outstanding are the calls under way to it from all asked nodes.
	Outstanding int `json:"outstanding"`
	// Weight is the part of its share of the calls that it gets, the mean of the nodes that judge it, 1 where none does.
	Weight float64 `json:"weight"`
	// Ejections is how often it was put out, on all asked nodes. Since is when the latest state began, Until when the next probe is.
	Ejections uint64    `json:"ejections,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`
}

// NodeBreaker is a breaker of one node.
type NodeBreaker struct {
	Node string `json:"node"`
	liveapi.Breaker
}

// Limit is a limit on calls, over all asked nodes.
type Limit struct {
	Policy string `json:"policy"`
	Target string `json:"target"`
	Rule   string `json:"rule,omitempty"`
	// Kind is Rate (calls per second) or Concurrency (calls at once). Scope is Pod, Node or Cluster.
	Kind  string `json:"kind"`
	Scope string `json:"scope"`
	// Max is the limit as the policy has it, in calls per second or at once; an adaptive one's greatest.
	Max      float64 `json:"max"`
	Adaptive bool    `json:"adaptive,omitempty"`
	// Waiting are the calls that wait under it, InUse those under way, on all asked nodes.
	Waiting int `json:"waiting"`
	InUse   int `json:"inUse,omitempty"`
	// Shares are what each node has of it, the largest first, 50 at most; LeftOut counts the others.
	Shares  []Share `json:"shares"`
	LeftOut int     `json:"leftOut,omitempty"`
}

// Share is a node's part of a limit, or, where that is per pod or node, how it stands there.
type Share struct {
	Node string `json:"node"`
	Pod  string `json:"pod,omitempty"`
	// Max is in calls per second or at once.
	Max     float64 `json:"max"`
	Waiting int     `json:"waiting,omitempty"`
	InUse   int     `json:"inUse,omitempty"`
}
