package controller

import (
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// facts are what the index looks up when it needs to know, rather than remember.
type facts interface {
	// Service returns the ports of a Service by "namespace/name".
	Service(name string) (*compile.Service, bool)
	// Destination returns a Service as agents see it.
	Destination(name string) (*policy.Destination, bool)
	// Zone returns the zone of a node; empty if it has none.
	Zone(node string) string
}

// Pod is what the index needs to know of a pod.
type Pod struct {
	UID             types.UID
	Namespace, Name string
	Node            string
	Labels          labels.Set // shared with the cache, never written to
	HostNetwork     bool
	// Running is false for pods that are not on a node yet, and for those that have ended: neither makes calls.
	Running bool
}

// index knows which policies govern which pods, and what follows from a change. Its work is proportional to what a change affects.
// It collects the consequences until flush takes them.
type index struct {
	// immutable
	facts facts
	// exempt is the manager's own namespace. Its pods are never governed: an agent that depended on itself could not recover.
	exempt string

	mu sync.Mutex
	// guarded by mu
	namespaces map[string]*namespace
	policies   map[policy.ID]*record
	cluster    []*record               // of ClusterRetryPolicies, by name
	services   map[string]*serviceRefs // those that policies or profiles name
	profiles   map[string]*profile     // by name
	zones      map[string]string       // of nodes, as their workloads were published last
	changes    changes
	handedOut  map[policy.ID]struct{} // policies whose part of the last flush may not be published yet
	compiles   int                    // profiles drawn, for tests and metrics
}

// changes are consequences that were not flushed yet.
type changes struct {
	settle       map[string]struct{}    // namespaces whose policies may conflict, "" for the cluster's
	workloads    map[types.UID]*pod     // nil: no workload any more
	profiles     map[string]struct{}    // to draw, or to remove when nobody uses them
	destinations map[string]struct{}    // to look up again
	statuses     map[policy.ID]struct{} // to look at
}

// namespace holds what lives in a namespace, and which cluster policies select it.
type namespace struct {
	name     string
	exists   bool
	labels   labels.Set
	pods     map[string]*pod // by name
	policies []*record       // by name
	cluster  []*record       // that select it, by name
}

// pod is a Pod and what governs it.
type pod struct {
	Pod
	selected []*record // policies that select it, by ID
	profile  *profile  // nil without a policy that acts
}

// profile is a set of policies and the pods they govern.
type profile struct {
	name      string
	namespace string // "" unless the profile differs between namespaces
	members   []*record
	pods      int
	nodes     map[string]int // pods by node
	drawn     *policy.Profile
	uses      []string // Services the drawn profile names
}

// record is a policy resource and what became of it.
type record struct {
	id     policy.ID
	uid    types.UID
	source compile.Source
	notes  []string
	gaps   []compile.UnenforcedField
	// current is the policy as written, nil while it has problems.
	current  *compile.Policy
	problems []compile.Problem
	conflict *compile.Conflict
	// active is the version that selects pods: the current one, or the last good one; nil for none. It acts if its mode says so.
	active *compile.Policy
	// lastGood is the last version that was in force.
	lastGood *compile.Policy
	services []string              // names it refers to
	overlaps map[policy.ID]overlap // with the others that its calls are governed by
	derived  *derived              // nil if not known

	pods, hostNetworkPods int
	namespaces            int
	profiles              map[*profile]struct{}

	told     int64  // the last generation of which all that follows was published
	toldWith uint64 // the publication that did
}

// serviceRefs is a Service that somebody names.
type serviceRefs struct {
	policies map[*record]struct{}
	profiles int
	// seen is how the policies were read last; nil if there was no such Service.
	seen *compile.Service
	// seenIn is the same of the Services of single namespaces, by "namespace/name", where the namespace is the caller's own. Services
	// that are not there are missing.
	seenIn map[string]*compile.Service
}

func newIndex(f facts, exempt string) *index {
	x := &index{
		facts:      f,
		exempt:     exempt,
		namespaces: map[string]*namespace{},
		policies:   map[policy.ID]*record{},
		services:   map[string]*serviceRefs{},
		profiles:   map[string]*profile{},
		zones:      map[string]string{},
	}
	x.changes.reset()
	return x
}

func (c *changes) reset() {
	c.settle = map[string]struct{}{}
	c.workloads = map[types.UID]*pod{}
	c.profiles = map[string]struct{}{}
	c.destinations = map[string]struct{}{}
	c.statuses = map[policy.ID]struct{}{}
}

// acts reports whether the policy takes part in profiles.
func (r *record) acts() bool { return r.active != nil && r.active.Enforced() }

func compareRecords(a, b *record) int { return strings.Compare(a.id.String(), b.id.String()) }

// insert adds r to a list sorted by ID.
func insert(list []*record, r *record) []*record {
	i, found := slices.BinarySearchFunc(list, r, compareRecords)
	if found {
		return list
	}
	return slices.Insert(list, i, r)
}

func remove(list []*record, r *record) []*record {
	return slices.DeleteFunc(list, func(o *record) bool { return o == r })
}

func (x *index) namespace(name string) *namespace {
	ns := x.namespaces[name]
	if ns == nil {
		ns = &namespace{name: name, pods: map[string]*pod{}}
		x.namespaces[name] = ns
	}
	return ns
}

// tidy forgets a namespace of which nothing is left.
func (x *index) tidy(ns *namespace) {
	if !ns.exists && len(ns.pods) == 0 && len(ns.policies) == 0 {
		for _, r := range ns.cluster {
			r.namespaces--
			x.changes.status(r)
		}
		delete(x.namespaces, ns.name)
	}
}

func (c *changes) status(r *record) { c.statuses[r.id] = struct{}{} }

func (c *changes) profile(p *profile) { c.profiles[p.name] = struct{}{} }
