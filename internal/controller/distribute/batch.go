package distribute

import (
	"errors"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// Batch is a set of changes that agents see as one. Changes to one resource replace each other: the last one counts. Encoding happens
// when a change is added, so publishing is short. The zero value is an empty batch; a Batch is for one goroutine.
type Batch struct {
	encoder *wire.Encoder // nil: the standard one
	changes []change
	errs    []error
}

// change sets ref to resource, or removes it when resource is nil.
type change struct {
	ref      wire.Ref
	resource *wire.Resource
	node     string                               // of a workload
	profile  string                               // of a workload
	uses     []wire.Ref                           // destinations of a profile, and what else it refers to, sorted
	hosts    []string                             // whose TLS a profile intercepts, sorted
	shared   map[string]map[string]policy.Breaker // of a profile, see sharedBreakersOf
	retained bool                                 // of what a profile refers to: agents keep what they have, see RetainReference
	keys     []trafficKey
	policies []policy.ID // that have a part in a profile, sorted
	err      error       // why the profile, or what it names, cannot be published
}

// trafficKey is under which traffic is summed.
type trafficKey struct {
	policy policy.ID
	target string
}

// SetWorkload adds or changes a pod of node.
func (b *Batch) SetWorkload(node string, w *policy.Workload) {
	r, err := b.encoding().Workload(w)
	b.set(change{resource: r, node: node, profile: w.Profile}, err)
}

// RemoveWorkload removes the pod with the given UID from whatever node it is on.
func (b *Batch) RemoveWorkload(uid string) { b.remove(wire.Workload, uid) }

// SetProfile adds or changes a profile. Nodes get it while one of their workloads uses it, and with it the destinations its
// bindings name. It counts for the rollout of the policies in its bindings, and of those in others: policies that have a part in it and no
// binding.
func (b *Batch) SetProfile(p *policy.Profile, others ...policy.ID) {
	c := change{ref: wire.Ref{Kind: wire.Profile, Name: p.Name}, policies: slices.Clone(others)}
	for i := range p.Bindings {
		binding := &p.Bindings[i]
		if binding.To.TLS.Mode == policy.TLSIntercept {
			c.hosts = append(c.hosts, binding.To.Host)
		}
		c.keys = append(c.keys, trafficKey{binding.Policy, binding.To.String()})
		for to := range binding.Backups {
			c.keys = append(c.keys, trafficKey{binding.Policy, to.String()})
		}
		c.policies = append(append(c.policies, binding.Policy), binding.Merged...)
	}
	for _, name := range p.Services() {
		c.uses = append(c.uses, wire.Ref{Kind: wire.Destination, Name: name})
	}
	for kind, name := range p.References() {
		c.uses = append(c.uses, wire.ReferenceTo(kind, name))
	}
	slices.SortFunc(c.uses, wire.Ref.Compare)
	c.uses = slices.Compact(c.uses)
	slices.Sort(c.hosts)
	c.hosts = slices.Compact(c.hosts)
	slices.SortFunc(c.policies, policy.ID.Compare)
	c.policies = slices.Compact(c.policies)
	var err error
	if c.resource, err = b.encoding().Profile(p); err != nil {
		c.uses, c.hosts, c.keys = nil, nil, nil
		b.refuse(c, err)
		return
	}
	c.shared = sharedBreakersOf(p)
	b.set(c, nil)
}

// RemoveProfile removes a profile. Workloads that still name it are left without policy.
func (b *Batch) RemoveProfile(name string) { b.remove(wire.Profile, name) }

// SetDestination adds or changes a destination.
func (b *Batch) SetDestination(d *policy.Destination) {
	r, err := b.encoding().Destination(d)
	if err != nil {
		b.refuse(change{ref: wire.Ref{Kind: wire.Destination, Name: d.Name}}, err)
		return
	}
	b.set(change{resource: r}, nil)
}

// RemoveDestination removes a destination.
func (b *Batch) RemoveDestination(name string) { b.remove(wire.Destination, name) }

// SetRoots adds or changes roots that profiles refer to.
func (b *Batch) SetRoots(v *policy.Roots) {
	b.setReference(wire.Ref{Kind: wire.Roots, Name: v.Name}, func(e *wire.Encoder) (*wire.Resource, error) { return e.Roots(v) })
}

// SetKeyPair adds or changes a key pair that profiles refer to.
func (b *Batch) SetKeyPair(v *policy.KeyPair) {
	b.setReference(wire.Ref{Kind: wire.KeyPair, Name: v.Name}, func(e *wire.Encoder) (*wire.Resource, error) { return e.KeyPair(v) })
}

// SetCredentials adds or changes credentials that profiles refer to.
func (b *Batch) SetCredentials(v *policy.Credentials) {
	b.setReference(wire.Ref{Kind: wire.Credentials, Name: v.Name}, func(e *wire.Encoder) (*wire.Resource, error) { return e.Credentials(v) })
}

func (b *Batch) setReference(ref wire.Ref, encode func(*wire.Encoder) (*wire.Resource, error)) {
	r, err := encode(b.encoding())
	if err != nil {
		b.refuse(change{ref: ref}, err)
		return
	}
	b.set(change{resource: r}, nil)
}

// RetainReference says that what a profile refers to is not known for now: agents that have some version of it keep that.
func (b *Batch) RetainReference(kind policy.ReferenceKind, name string) {
	b.changes = append(b.changes, change{ref: wire.ReferenceTo(kind, name), retained: true})
}

// RemoveReference removes what no profile refers to any more.
func (b *Batch) RemoveReference(kind policy.ReferenceKind, name string) {
	b.changes = append(b.changes, change{ref: wire.ReferenceTo(kind, name)})
}

// Append adds the changes of o, which must not be used any more.
func (b *Batch) Append(o *Batch) {
	b.changes = append(b.changes, o.changes...)
	b.errs = append(b.errs, o.errs...)
}

func (b *Batch) encoding() *wire.Encoder {
	if b.encoder == nil {
		return wire.StandardEncoder()
	}
	return b.encoder
}

// Len returns the number of changes in b.
func (b *Batch) Len() int { return len(b.changes) }

// refuse notes that a profile, or what it names, cannot be published.
func (b *Batch) refuse(c change, why error) {
	b.errs = append(b.errs, why)
	c.err = why
	b.changes = append(b.changes, c)
}

func (b *Batch) set(c change, err error) {
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	c.ref = c.resource.Ref
	b.changes = append(b.changes, c)
}

func (b *Batch) remove(kind wire.Kind, name string) {
	b.changes = append(b.changes, change{ref: wire.Ref{Kind: kind, Name: name}})
}

func (b *Batch) err() error { return errors.Join(b.errs...) }
