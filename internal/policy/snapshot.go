package policy

import "net/netip"

// Snapshot is everything one agent works from: the pods of its node, the profiles they use and the destinations those name.
type Snapshot struct {
	Workloads    map[string]*Workload    // by pod UID
	Profiles     map[string]*Profile     // by Profile.Name
	Destinations map[string]*Destination // by Destination.Name
	Roots        map[string]*Roots       // by Roots.Name
	KeyPairs     map[string]*KeyPair     // by KeyPair.Name; never on a disk
	Credentials  map[string]*Credentials // by Credentials.Name; never on a disk
}

// Zone returns the zone of the agent's node, which its workloads have in common.
func (s *Snapshot) Zone() string {
	for _, w := range s.Workloads {
		return w.Zone
	}
	return ""
}

// Workload is one pod of the agent's node whose calls a profile governs. Host-network pods never become workloads.
type Workload struct {
	UID       string
	Namespace string
	Name      string
	Profile   string // name of its Profile
	// Zone is that of the pod's node (topology.kubernetes.io/zone); empty if the node has none.
	Zone string
	// Owner is what the pod belongs to; the zero Owner where that is not known, because the manager is of an earlier version.
	Owner Owner `json:",omitzero"`
}

// Owner is what made a pod, and those like it, in their namespace: a Deployment, StatefulSet, DaemonSet, Job or CronJob, for instance, or the pod
// itself where nothing has.
type Owner struct {
	Kind, Name string
}

// String returns "kind/name", empty for the zero Owner.
func (o Owner) String() string {
	if o == (Owner{}) {
		return ""
	}
	return o.Kind + "/" + o.Name
}

// Caller is whose calls the pod's are: those of all pods that belong to the same thing.
func (w *Workload) Caller() Caller { return Caller{w.Namespace, w.Owner.Name} }

// Caller names what makes calls. Things of several kinds that have one name in one namespace are one caller.
type Caller struct {
	Namespace, Workload string
}

// Profile is the effective policy of all pods that the same policies select: what Workloads share.
type Profile struct {
	// Name is stable across edits: it is derived from the IDs of the policies merged into it, not from their content.
	Name string
	// Bindings are ordered: the first enforced one whose destination matches a call governs it. Those of dry runs come last, in the order of
	// what would: the first of them that matches says what a call would come under.
	Bindings []Binding
	// FailClosed keeps refusing new captured connections while the node's agent is gone (failurePolicy: Closed).
	FailClosed bool
	// Generation orders versions by when the agent received them: it grows with every update. An agent that refuses a profile keeps
	// the version before, so two profiles can have a binding of one key in different versions; the one with the greater generation
	// says what the newest is. It does not travel: the agent's subscription counts it, and its copy on disk keeps it. 0 is the oldest.
	Generation uint64
}

// Binding ties one destination to the settings in force for it.
type Binding struct {
	// Key is stable across edits that change neither the policies merged nor the destination, nor how it is called: over TLS, on which
	// port, through which proxy. Breakers, budgets, limits and pools are kept under it, so their state survives unrelated edits and never
	// leaks to another policy.
	Key string
	// Policy is the most significant policy of the merge; traffic is reported under it.
	Policy ID
	// Merged lists every policy merged into the binding, Policy included, least significant first.
	Merged []ID
	Mode   Mode
	To     Target
	// Base holds for calls that no rule matches.
	Base Settings
	// Rules are tried in order; the first that matches replaces Base.
	Rules []Rule
	// RejectQUIC has new flows of QUIC to the destination rejected, so that clients go on with TCP (udp443: Reject). A flow has no name that
	// can be seen, so for a host it is every address that is meant, for a Service its cluster IPs.
	RejectQUIC bool `json:",omitempty"`
	// Unchanged says of a binding whose mode is ModeDryRun that calls to the destination would come under what they come under now.
	Unchanged bool `json:",omitempty"`
	// ForcedBreaker is what somebody has said about the breakers by hand.
	ForcedBreaker ForcedBreaker `json:",omitzero"`
}

// TargetKind says how a Target names its destination.
type TargetKind uint8

const (
	// TargetService is a Kubernetes Service, by its cluster IPs and endpoints.
	TargetService TargetKind = iota
	// TargetHost is a host name, exact or "*.suffix" for every name below suffix, or "*".
	TargetHost
	// TargetCIDR is an address block.
	TargetCIDR
	// TargetAny is everything.
	TargetAny
)

// Protocol is what a destination speaks. ProtocolAuto has the agent find out from the first bytes.
type Protocol uint8

// The protocols a destination can be declared to speak.
const (
	ProtocolAuto Protocol = iota
	ProtocolHTTP
	ProtocolHTTP2
	ProtocolGRPC
	ProtocolTLS
	ProtocolTCP
)

// Target is the destination half of a Binding. Only the fields of its Kind are set.
type Target struct {
	Kind     TargetKind
	Protocol Protocol
	// Service names the Destination resource ("namespace/name") for TargetService.
	Service string
	// Host is lower case: an FQDN, "*.example.com", or "*".
	Host string
	// Block and Except describe a TargetCIDR.
	Block  netip.Prefix
	Except []netip.Prefix
	// Ports limits the target; empty means every port. For TargetService these are Service ports (already resolved from
	// names); for the other kinds they are destination ports.
	Ports []uint16
	// TLS is set for a TargetHost only.
	TLS TLS `json:",omitempty"`
	// Via is the HTTP proxy through which a TargetHost is called; the zero Via is none.
	Via Via `json:",omitempty"`
}

// Via is an HTTP proxy.
type Via struct {
	// Host is its name, lower case, or its address.
	Host string
	Port uint16
	// Credentials names the Credentials that it is given to let calls through; empty: none. Where the name is not known there are no
	// connections.
	Credentials string
}

// Rule replaces a binding's Base for the calls it matches.
type Rule struct {
	Name string
	// Match is OR-ed; each entry's set fields are AND-ed.
	Match []RequestMatch
	// Settings is Base with the rule's patches applied, complete.
	Settings Settings
	// OwnBudget and the like say that the rule patched that block, so it keeps state apart from the binding's.
	OwnBudget      bool
	OwnBreaker     bool
	OwnRateLimit   bool
	OwnConcurrency bool
	OwnAdaptive    bool
	OwnHedging     bool
}

// PathMatch says how Path is compared.
type PathMatch uint8

// The ways to compare a request path. Paths are compared without the query string.
const (
	PathAny PathMatch = iota
	PathExact
	// PathPrefix matches whole path elements: /v1 matches /v1 and /v1/x, not /v1x (as Gateway API's PathPrefix).
	PathPrefix
	// PathRegularExpression matches what a Pattern does.
	PathRegularExpression
	// PathGRPC matches gRPC calls: Path is "service/method", in which one of the two may be "*" for any.
	PathGRPC
)

// RequestMatch selects requests that fit everything that is set.
type RequestMatch struct {
	Methods  []string // upper case; empty means every method
	PathType PathMatch
	Path     string
	// Host is the name that requests are for, lower case, or "*.suffix" for every name below suffix; empty means every host.
	Host    string          `json:",omitempty"`
	Headers []RequestHeader `json:",omitempty"` // all of them
}

// ValueMatch says how a value is compared.
type ValueMatch uint8

// The ways to compare a value.
const (
	ValueAny ValueMatch = iota
	ValueExact
	ValuePrefix
	ValueRegularExpression
)

// RequestHeader fits requests by a header field. Where there are several of its name, one that fits is enough.
type RequestHeader struct {
	Name  string // lower case
	Type  ValueMatch
	Value string
}

// String shows the target as users write it: "service warehouse/inventory", "host api.example", "cidr 10.0.0.0/8", "any".
func (t Target) String() string {
	switch t.Kind {
	case TargetService:
		return "service " + t.Service
	case TargetHost:
		return "host " + t.Host
	case TargetCIDR:
		return "cidr " + t.Block.String()
	case TargetAny:
		return "any"
	}
	return "unknown"
}
