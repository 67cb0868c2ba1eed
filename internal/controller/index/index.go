package index

import (
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// ClusterLookup is what the index looks up rather than remembers. Its methods are called with the index locked and must not block.
type ClusterLookup interface {
	// Service returns the ports of a Service by "namespace/name".
	Service(name string) (*compile.Service, bool)
	// Destination returns a Service as agents see it.
	Destination(name string) (*policy.Destination, bool)
	// Reference returns what is known of an object that a policy refers to.
	Reference(compile.Reference) compile.Referent
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
	// Owner is what made the pod; nil: nothing has. Shared with the cache, never written to.
	Owner *policy.Owner
}

// owner returns what the pod belongs to, itself where nothing has made it.
func (p *Pod) owner() policy.Owner {
	if p.Owner == nil {
		return policy.Owner{Kind: "Pod", Name: p.Name}
	}
	return *p.Owner
}

// Index knows which policies govern which pods. The work of a change is proportional to what it affects. Its methods may be called from
// any goroutine, but Take, Publish and Published belong together: one goroutine calls them.
type Index struct {
	// immutable
	lookup ClusterLookup
	// exempt is the manager's own namespace. Its pods are never governed: an agent that depended on itself could not recover.
	exempt string

	mu sync.Mutex
	// guarded by mu
	namespaces map[string]*namespace
	policies   map[policy.ID]*policyEntry
	cluster    []*policyEntry                                  // of ClusterRetryPolicies, by name
	services   map[string]*serviceRefs                         // those that policies or profiles name
	referrers  map[compile.Reference]map[*policyEntry]struct{} // by what they refer to
	materials  map[compile.MaterialKey]*material               // those that policies or profiles name
	profiles   map[string]*profile                             // by name
	zones      map[string]nodeZone                             // of nodes
	changes    changes
	// inPublication has the policies of the last Publish until Published, with the generation that it completes.
	inPublication map[policy.ID]publication
	compilations  int // profiles compiled and not dropped, for tests and metrics
}

// changes are consequences that were not published yet.
type changes struct {
	conflicts    map[string]struct{} // namespaces whose policies may conflict, "" for the cluster's
	profiles     map[string]*profile // to compile
	urgent       map[string]*profile // those of them to compile before others
	unused       map[string]*profile // without pods: to remove
	workloads    map[types.UID]*pod  // pods whose profile is not the published one, those that are gone included
	starting     map[types.UID]*pod  // those of them that have just started
	destinations map[string]struct{} // to look up again
	materials    map[compile.MaterialKey]struct{}
	statuses     map[policy.ID]struct{} // of policies: what may have changed
}

// namespace holds what lives in a namespace, and which cluster policies select it.
type namespace struct {
	name     string
	exists   bool
	labels   labels.Set
	pods     map[string]*pod // by name
	policies []*policyEntry  // by name
	cluster  []*policyEntry  // that select it, by name
}

// pod is a Pod and what governs it.
type pod struct {
	Pod
	selected  []*policyEntry // policies that select it, by ID
	profile   *profile       // nil without a policy that acts
	published *profile       // what was published of it last
}

// profile is a set of policies and the pods they govern.
type profile struct {
	name      string
	namespace string // "" unless the profile differs between namespaces
	members   []member
	pods      int
	nodes     map[string]int // pods by node
	// publishedPods counts the pods that have it by what was published.
	publishedPods int
	// version counts changes of what the profile is compiled from.
	version uint64
	// causes are the policies whose own change is complete only once this profile is compiled.
	causes   map[*policyEntry]struct{}
	compiled *policy.Profile // the last version; nil if there was none
	// usable says that pods may be given the last version, though a newer one may be under way.
	usable   bool
	services []string // Services that compiled names
	// materials are what compiled refers to, sorted.
	materials []compile.MaterialKey
}

// policyEntry is a policy resource and what became of it.
type policyEntry struct {
	id         policy.ID
	uid        types.UID
	source     compile.Source
	warnings   []string
	bounds     compile.Bounds
	expiring   []string // sentences about what it refers to
	unenforced []compile.UnenforcedField
	// current is the policy as written, nil while it has problems.
	current  *compile.Policy
	problems []compile.Problem
	conflict *compile.Conflict
	// active is the version that selects pods: the current one, or the last good one; nil for none. It acts if its mode says so. While a rollout
	// brings it to the nodes, those that it has not reached have stable, which is nil for none; else stable is active.
	active, stable *compile.Policy
	// rollout is how far the rollout of active is, or how it ended; nil if there was none.
	rollout *v1alpha1.RolloutStatus
	// everywhere is the generation that came to all nodes last.
	everywhere int64
	// lastGood is the last version that was in force.
	lastGood *compile.Policy
	services []string // names that the current or the active version refers to
	// references and materials are those of the current and the active version.
	references []compile.Reference
	materials  []compile.MaterialKey
	overlaps   map[policy.ID]overlap // with the others that its calls are governed by
	derived    *derived              // nil if not known

	pods, hostNetworkPods int
	namespaces            int
	profiles              map[*profile]struct{}

	uncompiled          int    // profiles of which it is a cause
	publishedGeneration int64  // the last generation of which all that follows was published
	publishedRevision   uint64 // the publication that did
}

// shrink replaces what is empty: a map that held a whole cluster once takes long to go through ever after.
func (c *changes) shrink() {
	if len(c.profiles) == 0 {
		c.profiles, c.urgent = map[string]*profile{}, map[string]*profile{}
	}
	if len(c.unused) == 0 {
		c.unused = map[string]*profile{}
	}
	if len(c.workloads) == 0 {
		c.workloads, c.starting = map[types.UID]*pod{}, map[types.UID]*pod{}
	}
	if len(c.destinations) == 0 {
		c.destinations = map[string]struct{}{}
	}
	if len(c.materials) == 0 {
		c.materials = map[compile.MaterialKey]struct{}{}
	}
	if len(c.statuses) == 0 {
		c.statuses = map[policy.ID]struct{}{}
	}
}

// New returns an index of an empty cluster.
func New(lookup ClusterLookup, exempt string) *Index {
	return &Index{
		lookup:     lookup,
		exempt:     exempt,
		namespaces: map[string]*namespace{},
		policies:   map[policy.ID]*policyEntry{},
		services:   map[string]*serviceRefs{},
		referrers:  map[compile.Reference]map[*policyEntry]struct{}{},
		materials:  map[compile.MaterialKey]*material{},
		profiles:   map[string]*profile{},
		zones:      map[string]nodeZone{},
		changes: changes{
			conflicts: map[string]struct{}{}, profiles: map[string]*profile{}, urgent: map[string]*profile{}, unused: map[string]*profile{},
			workloads: map[types.UID]*pod{}, starting: map[types.UID]*pod{}, destinations: map[string]struct{}{}, statuses: map[policy.ID]struct{}{},
			materials: map[compile.MaterialKey]struct{}{},
		},
	}
}

// Compilations returns how many profiles were compiled.
func (x *Index) Compilations() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.compilations
}

func compareEntries(a, b *policyEntry) int { return strings.Compare(a.id.String(), b.id.String()) }

// insert adds r to a list sorted by ID.
func insert(list []*policyEntry, r *policyEntry) []*policyEntry {
	i, found := slices.BinarySearchFunc(list, r, compareEntries)
	if found {
		return list
	}
	return slices.Insert(list, i, r)
}

func remove(list []*policyEntry, r *policyEntry) []*policyEntry {
	return slices.DeleteFunc(list, func(o *policyEntry) bool { return o == r })
}

func (x *Index) namespace(name string) *namespace {
	ns := x.namespaces[name]
	if ns == nil {
		ns = &namespace{name: name, pods: map[string]*pod{}}
		x.namespaces[name] = ns
	}
	return ns
}

// removeIfEmpty forgets a namespace of which nothing is left.
func (x *Index) removeIfEmpty(ns *namespace) {
	if !ns.exists && len(ns.pods) == 0 && len(ns.policies) == 0 {
		for _, r := range ns.cluster {
			r.namespaces--
			x.changes.status(r)
		}
		delete(x.namespaces, ns.name)
	}
}

// status marks a policy whose status may have changed.
func (c *changes) status(r *policyEntry) { c.statuses[r.id] = struct{}{} }

// workload marks a pod whose profile has changed, or that is gone.
func (c *changes) workload(p *pod) {
	if before := c.workloads[p.UID]; before != nil && before != p {
		p.published, before.published = before.published, nil // it was made anew under the same UID
	}
	c.workloads[p.UID] = p
}
