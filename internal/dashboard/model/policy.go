package model

import (
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// Policy is the page of one policy.
type Policy struct {
	Part
	PolicyRow
	Created time.Time `json:"created"`
	// Generation is that of its spec; InForce that which is in force, less than Generation while a change is rolled out or is refused.
	Generation int64 `json:"generation"`
	InForce    int64 `json:"inForce"`
	// Selects says which pods, in words.
	Selects    string      `json:"selects"`
	Conditions []Condition `json:"conditions"`
	// Targets are its destinations.
	Targets []Target `json:"targets"`
	// NodeFailures are some of the nodes that refuse it; Failed counts them all.
	NodeFailures []NodeFailure `json:"nodeFailures,omitempty"`
	// Refused is why it is not in force as it is written; NotEnforced lists fields that are set and not enforced.
	Refused     []string     `json:"refused,omitempty"`
	NotEnforced []Unenforced `json:"notEnforced,omitempty"`
	// Merges are what it comes to; MergesLeftOut counts those beyond 50.
	Merges        []Merge `json:"merges"`
	MergesLeftOut int     `json:"mergesLeftOut,omitempty"`
	// Series are its calls over time, Flows who makes them, with the most calls first, 100 at most.
	Series Series         `json:"series"`
	Flows  []liveapi.Flow `json:"flows"`
	// Changes are those about it in the time that was asked for, the latest first, 100 at most.
	Changes []liveapi.Change `json:"changes"`
}

// Condition is one of the policy's status.
type Condition struct {
	Type    string    `json:"type"`
	Status  string    `json:"status"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Target is a destination of a policy, as it names it.
type Target struct {
	To       string `json:"to"`
	Protocol string `json:"protocol,omitempty"`
	// Endpoints are those of a Service, Ejected those kept out on the node that keeps out the most.
	Endpoints *int `json:"endpoints,omitempty"`
	Ejected   int  `json:"ejected,omitempty"`
	// Enforced is Full, Partial, ConnectionOnly or None.
	Enforced string `json:"enforced,omitempty"`
	// Breaker is the worst state of all nodes, BreakersOpen how many are open, BreakerSeconds for how long the worst state has lasted.
	Breaker        string   `json:"breaker,omitempty"`
	BreakersOpen   int      `json:"breakersOpen,omitempty"`
	BreakerSeconds float64  `json:"breakerSeconds,omitempty"`
	TLSFailures    []string `json:"tlsFailures,omitempty"`
	Connections    int      `json:"connections,omitempty"`
	Figures        *Figures `json:"figures,omitempty"`
}

// NodeFailure is why a node refuses a policy.
type NodeFailure struct {
	Node    string `json:"node"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Unenforced is a field that is set and not enforced, for one destination, or all where that is empty.
type Unenforced struct {
	Field       string `json:"field"`
	Reason      string `json:"reason"`
	Destination string `json:"destination,omitempty"`
}

// Merge is what a policy comes to for one destination and the pods that the same policies select.
type Merge struct {
	Destination string `json:"destination"`
	// Policies are what it is merged of, the least significant first, as "RetryPolicy shop/payments".
	Policies []string `json:"policies"`
	DryRun   bool     `json:"dryRun,omitempty"`
	// Pods are some of the pods, AllPods how many there are.
	Pods    []string `json:"pods"`
	AllPods int      `json:"allPods"`
	Fields  []Field  `json:"fields"`
	Rules   []Rule   `json:"rules,omitempty"`
}

// Field is a field in force, and where its value comes from. Default: no policy has set it.
type Field struct {
	Path    string `json:"field"`
	Value   string `json:"value"`
	Source  string `json:"source"`
	Default bool   `json:"default,omitempty"`
}

// Rule is a rule, and the fields in which it differs from the calls that no rule fits.
type Rule struct {
	Name   string  `json:"name"`
	Fields []Field `json:"fields"`
}
