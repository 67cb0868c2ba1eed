package controller

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// view is what the index knows of a policy that its status tells. It shares nothing that changes.
type view struct {
	id         policy.ID
	uid        types.UID
	generation int64
	mode       v1alpha1.Mode
	// underWay says that a change of the policy has not been published yet.
	underWay bool

	problems []compile.Problem
	conflict *compile.Conflict
	notes    []string
	gaps     []compile.UnenforcedField
	// remarks are sentences about what holds although nobody wrote it.
	remarks []string
	// inForce says that some version of the policy selects pods, and acting is the generation of the one that acts on calls, or 0.
	inForce bool
	acting  int64

	// toldWith is the publication with which agents were told of this generation.
	toldWith uint64

	pods, hostNetworkPods, namespaces int

	profiles     []string
	destinations []destinationView
	breaker      bool // the policy itself has a circuit breaker
	overriddenBy []v1alpha1.PolicyReference
	overrides    []v1alpha1.PolicyReference
	// reports are where agents report the traffic of the calls that the policy has a part in.
	reports map[reportKey]struct{}
}

// destinationView is an entry of to.
type destinationView struct {
	compile.Destination
	endpoints *int32
}

// reportKey is under which agents report traffic.
type reportKey struct {
	policy policy.ID
	target string
}

// view returns what is known of a policy, or false if there is none.
func (x *index) view(id policy.ID) (view, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.policies[id]
	if r == nil {
		return view{}, false
	}
	v := view{
		id: id, uid: r.uid, generation: r.source.Generation, mode: r.source.Mode, underWay: x.underWay(id),
		problems: r.problems, conflict: r.conflict, notes: r.notes, gaps: r.gaps,
		inForce: r.active != nil, pods: r.pods, hostNetworkPods: r.hostNetworkPods, namespaces: r.namespaces,
		toldWith: r.toldWith, breaker: r.source.HasBreaker(), reports: map[reportKey]struct{}{},
	}
	if v.mode == "" {
		v.mode = v1alpha1.ModeEnforce
	}
	if r.acts() {
		v.acting = r.active.Generation
	}
	v.destinations = x.destinationsOf(r)
	x.viewServices(r, &v)
	x.viewProfiles(r, &v)
	return v, true
}

func (x *index) destinationsOf(r *record) []destinationView {
	version := r.current
	if version == nil {
		version = r.active
	}
	if version == nil {
		return nil
	}
	var out []destinationView
	for _, d := range version.Destinations() {
		v := destinationView{Destination: d}
		if d.Service != "" {
			v.endpoints = x.endpointsOf(&d)
		}
		out = append(out, v)
	}
	return out
}

// viewServices tells what the Services of the destinations ask for themselves.
func (x *index) viewServices(r *record, v *view) {
	for i := range v.destinations {
		d := &v.destinations[i].Destination
		if d.Service == "" {
			continue
		}
		svc, _ := x.facts.Service(d.Service)
		gaps, remark := compile.UnenforcedForService(&r.source, d, svc)
		v.gaps = slices.Concat(v.gaps, gaps) // those of the record are shared
		if remark != "" && !slices.Contains(v.remarks, remark) {
			v.remarks = append(v.remarks, remark)
		}
	}
}

// endpointsOf counts the endpoints behind the ports that are meant.
func (x *index) endpointsOf(d *compile.Destination) *int32 {
	n := int32(0)
	if to, ok := x.facts.Destination(d.Service); ok {
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
	for _, a := range list {
		if a.Addr.Addr().Is6() {
			six++
		}
	}
	return int32(max(six, len(list)-six))
}

// derived is what of a view follows from the profiles the policy is part of. It is immutable, and kept until one of these is drawn again
// or another policy of them changes: a policy for many namespaces is part of thousands of profiles, and is looked at often.
type derived struct {
	profiles                []string
	overriddenBy, overrides []v1alpha1.PolicyReference
	reports                 map[reportKey]struct{}
	breaker                 bool
}

// forgetDerived forgets what follows for the policies of the profile.
func (pr *profile) forgetDerived() {
	for _, r := range pr.members {
		r.derived = nil
	}
}

// viewProfiles tells what follows from the profiles the policy is part of.
func (x *index) viewProfiles(r *record, v *view) {
	if r.derived == nil {
		x.derive(r, v)
		r.derived = &derived{v.profiles, v.overriddenBy, v.overrides, v.reports, v.breaker}
		return
	}
	d := r.derived
	v.profiles, v.overriddenBy, v.overrides, v.reports, v.breaker = d.profiles, d.overriddenBy, d.overrides, d.reports, d.breaker
}

func (x *index) derive(r *record, v *view) {
	above, below := map[policy.ID]struct{}{}, map[policy.ID]struct{}{}
	for pr := range r.profiles {
		v.profiles = append(v.profiles, pr.name)
		if pr.drawn == nil {
			continue
		}
		for i := range pr.drawn.Bindings {
			b := &pr.drawn.Bindings[i]
			at := slices.Index(b.Merged, r.id)
			if at < 0 {
				continue
			}
			v.reports[reportKey{b.Policy, b.To.String()}] = struct{}{}
			for _, id := range b.Merged[:at] {
				below[id] = struct{}{}
			}
			for _, id := range b.Merged[at+1:] {
				above[id] = struct{}{}
			}
		}
	}
	slices.Sort(v.profiles)
	before := r.overlaps
	r.overlaps = make(map[policy.ID]overlap, len(above)+len(below))
	v.overriddenBy = x.references(r, above, before)
	v.overrides = x.references(r, below, before)
}

// overlap is which blocks two versions of policies both set fields in. It is kept because a policy for many namespaces meets thousands of
// others, and few of them change between two looks.
type overlap struct {
	own, other *compile.Policy
	blocks     []string
}

// overlapOf returns which blocks r and o both set fields in, from what was known before if neither has changed.
func (r *record) overlapOf(o *record, before map[policy.ID]overlap) []string {
	known, ok := before[o.id]
	if !ok || known.own != r.active || known.other != o.active {
		known = overlap{own: r.active, other: o.active, blocks: compile.Overlap(r.active, o.active)}
	}
	r.overlaps[o.id] = known
	return known.blocks
}

// references names the policies that set some of the fields that r sets.
func (x *index) references(r *record, others map[policy.ID]struct{}, before map[policy.ID]overlap) []v1alpha1.PolicyReference {
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

// policiesOf returns the policies of profiles.
func (x *index) policiesOf(profiles []string) []policy.ID {
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
