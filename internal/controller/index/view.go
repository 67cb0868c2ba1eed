package index

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// View is what the index knows of a policy that its status shows. It shares nothing that changes.
type View struct {
	ID         policy.ID
	UID        types.UID
	Generation int64
	Mode       v1alpha1.Mode
	// Unpublished says that a change of the policy has not been published yet.
	Unpublished bool

	Problems   []compile.Problem
	Conflict   *compile.Conflict
	Warnings   []string
	Unenforced []compile.UnenforcedField
	// Bounds are odd or not by how many nodes and endpoints there are.
	Bounds compile.Bounds
	// Remarks are sentences about what holds without being written in the policy.
	Remarks []string
	// Rollout is how far the rollout of a version is; nil without one.
	Rollout *v1alpha1.RolloutStatus
	// InForce says that some version of the policy selects pods, and acting is the generation of the one that acts on calls, or 0.
	InForce          bool
	ActingGeneration int64

	// PublishedRevision is the publication that completed this generation.
	PublishedRevision uint64

	Pods, HostNetworkPods, Namespaces int

	Profiles     []string
	Destinations []Destination
	HasBreaker   bool // the policy itself has a circuit breaker
	OverriddenBy []v1alpha1.PolicyReference
	Overrides    []v1alpha1.PolicyReference
	// Forced is what the policy's annotation says about its circuit breakers, if that is in force.
	Forced compile.Forced
	// Faults is what the policy that is in force injects, as of when it was read.
	Faults compile.ActiveFaults
	// Reports are where agents report the traffic of the calls that the policy has a part in. Incomplete says that some are missing, since a profile that
	// the policy is part of is not compiled yet.
	Reports    map[ReportKey]struct{}
	Incomplete bool
	// Breakers are the targets among them at which some calls come under circuit breakers that policies set; an annotation can have others open.
	Breakers map[string]struct{}
}

// Destination is an entry of to.
type Destination struct {
	compile.Destination
	Endpoints *int32
}

// ReportKey is under which agents report traffic.
type ReportKey struct {
	Policy policy.ID
	Target string
}

// View returns what is known of a policy, or false if there is none.
func (x *Index) View(id policy.ID) (View, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.policies[id]
	if r == nil {
		return View{}, false
	}
	v := View{
		ID: id, UID: r.uid, Generation: r.source.Generation, Mode: r.source.Mode, Unpublished: x.isUnpublished(id),
		Problems: r.problems, Conflict: r.conflict, Warnings: slices.Concat(r.warnings, r.expiring), Unenforced: r.unenforced, Bounds: r.bounds,
		InForce: r.active != nil, Pods: r.pods, HostNetworkPods: r.hostNetworkPods, Namespaces: r.namespaces,
		PublishedRevision: r.publishedRevision, HasBreaker: r.source.HasBreaker() && r.source.Enforced(), Reports: map[ReportKey]struct{}{}, Breakers: map[string]struct{}{},
	}
	if r.active != nil {
		v.Forced, v.Faults = r.active.Forced, r.active.Faults
	}
	if v.Mode == "" {
		v.Mode = v1alpha1.ModeEnforce
	}
	if acting := r.stable; acting != nil && acting.Enforced() {
		v.ActingGeneration = acting.Generation
	}
	if r.rollout != nil {
		v.Rollout = r.rollout.DeepCopy()
	}
	v.Destinations = x.destinationsOf(r)
	x.addServices(r, &v)
	x.addProfiles(r, &v)
	v.HasBreaker = v.HasBreaker || v.Forced.Set()
	return v, true
}

func (x *Index) destinationsOf(r *policyEntry) []Destination {
	version := r.current
	if version == nil {
		version = r.active
	}
	if version == nil {
		return nil
	}
	var out []Destination
	for _, d := range version.Destinations() {
		v := Destination{Destination: d}
		if d.Service != "" {
			v.Endpoints = x.endpointsOf(&d)
		}
		out = append(out, v)
	}
	return out
}

// addServices adds what the Services of the destinations ask for themselves.
func (x *Index) addServices(r *policyEntry, v *View) {
	for i := range v.Destinations {
		d := &v.Destinations[i].Destination
		if d.Service == "" {
			continue
		}
		svc, _ := x.lookup.Service(d.Service)
		unenforced, remark := compile.UnenforcedForService(&r.source, d, svc)
		v.Unenforced = slices.Concat(v.Unenforced, unenforced) // those of the entry are shared
		if remark != "" && !slices.Contains(v.Remarks, remark) {
			v.Remarks = append(v.Remarks, remark)
		}
	}
}

// endpointsOf counts the endpoints behind the ports that are meant.
func (x *Index) endpointsOf(d *compile.Destination) *int32 {
	n := int32(0)
	if to, ok := x.lookup.Destination(d.Service); ok {
		for _, p := range to.Ports {
			if len(d.Ports) == 0 || slices.Contains(d.Ports, p.Port) {
				n = max(n, countEndpoints(p.Endpoints))
			}
		}
	}
	return &n
}

// countEndpoints counts the endpoints behind addresses: those of a dual-stack Service have one of each family.
func countEndpoints(list []policy.Endpoint) int32 {
	six := 0
	for _, e := range list {
		if e.Addr.Addr().Is6() {
			six++
		}
	}
	return int32(max(six, len(list)-six))
}

// derived is what of a view follows from the profiles the policy is part of. It is immutable, and kept until one of these is compiled again
// or another policy of them changes: a policy for many namespaces is part of thousands of profiles, and is viewed often.
type derived struct {
	profiles                []string
	overriddenBy, overrides []v1alpha1.PolicyReference
	reports                 map[ReportKey]struct{}
	breakers                map[string]struct{}
	incomplete, breaker     bool
}

// forgetDerived forgets what follows for the policies of the profile.
func (pr *profile) forgetDerived() {
	for _, r := range pr.members {
		r.derived = nil
	}
}

// addProfiles adds what follows from the profiles the policy is part of.
func (x *Index) addProfiles(r *policyEntry, v *View) {
	if r.derived == nil {
		x.derive(r, v)
		r.derived = &derived{v.Profiles, v.OverriddenBy, v.Overrides, v.Reports, v.Breakers, v.Incomplete, v.HasBreaker}
		return
	}
	d := r.derived
	v.Profiles, v.OverriddenBy, v.Overrides = d.profiles, d.overriddenBy, d.overrides
	v.Reports, v.Breakers, v.Incomplete, v.HasBreaker = d.reports, d.breakers, d.incomplete, d.breaker
}

func (x *Index) derive(r *policyEntry, v *View) {
	above, below := map[policy.ID]struct{}{}, map[policy.ID]struct{}{}
	for pr := range r.profiles {
		v.Profiles = append(v.Profiles, pr.name)
		if !pr.usable {
			v.Incomplete = true
			continue
		}
		acts := pr.member(r).version().Enforced()
		for i := range pr.compiled.Bindings {
			b := &pr.compiled.Bindings[i]
			at := slices.Index(b.Merged, r.id)
			if at < 0 || (b.Mode == policy.ModeEnforce) != acts {
				continue // what would be, of no concern to what is
			}
			target := b.To.String()
			v.Reports[ReportKey{b.Policy, target}] = struct{}{}
			if hasBreaker(b) {
				v.Breakers[target] = struct{}{}
			}
			for _, id := range b.Merged[:at] {
				below[id] = struct{}{}
			}
			for _, id := range b.Merged[at+1:] {
				above[id] = struct{}{}
			}
		}
	}
	slices.Sort(v.Profiles)
	before := r.overlaps
	r.overlaps = make(map[policy.ID]overlap, len(above)+len(below))
	v.OverriddenBy = x.references(r, above, before)
	v.Overrides = x.references(r, below, before)
}

// hasBreaker reports whether some calls under a binding come under circuit breakers.
func hasBreaker(b *policy.Binding) bool {
	if b.Mode != policy.ModeEnforce {
		return false
	}
	for i := range b.Rules {
		if b.Rules[i].Settings.Breaker != nil {
			return true
		}
	}
	return b.Base.Breaker != nil
}

// overlap is which blocks two versions of policies both set fields in. It is kept because a policy for many namespaces meets thousands of
// others, and few of them change between two views.
type overlap struct {
	own, other *compile.Policy
	blocks     []string
}

// overlapOf returns which blocks r and o both set fields in, from what was known before if neither has changed.
func (r *policyEntry) overlapOf(o *policyEntry, before map[policy.ID]overlap) []string {
	known, ok := before[o.id]
	if !ok || known.own != r.active || known.other != o.active {
		known = overlap{own: r.active, other: o.active, blocks: compile.Overlap(r.active, o.active)}
	}
	r.overlaps[o.id] = known
	return known.blocks
}

// references names the policies that set some of the fields that r sets.
func (x *Index) references(r *policyEntry, others map[policy.ID]struct{}, before map[policy.ID]overlap) []v1alpha1.PolicyReference {
	var out []v1alpha1.PolicyReference
	for id := range maps.Keys(others) {
		o := x.policies[id]
		if o == nil || o.active == nil || r.active == nil {
			continue
		}
		if blocks := r.overlapOf(o, before); len(blocks) > 0 {
			ref := v1alpha1.PolicyReference{Kind: v1alpha1.RetryPolicyKind, Namespace: id.Namespace, Name: id.Name, Blocks: blocks}
			if id.Kind == policy.KindClusterRetryPolicy {
				ref.Kind = v1alpha1.ClusterRetryPolicyKind
			}
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.PolicyReference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// PoliciesOf returns the policies of profiles.
func (x *Index) PoliciesOf(profiles []string) []policy.ID {
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := map[policy.ID]struct{}{}
	for _, name := range profiles {
		if pr := x.profiles[name]; pr != nil {
			for _, r := range pr.members {
				ids[r.id] = struct{}{}
			}
		}
	}
	return slices.Collect(maps.Keys(ids))
}
