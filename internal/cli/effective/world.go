package effective

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// World is what decides which policies are in force.
type World struct {
	Namespaces           []corev1.Namespace
	Pods                 []corev1.Pod
	Services             []corev1.Service
	EndpointSlices       []discoveryv1.EndpointSlice
	RetryPolicies        []v1alpha1.RetryPolicy
	ClusterRetryPolicies []v1alpha1.ClusterRetryPolicy
	// Exempt is the namespace of fairlead itself, whose pods are never governed.
	Exempt string
	// Domain is that of the cluster's DNS.
	Domain string
}

// Refused is a policy that is not in force as it is written, and why.
type Refused struct {
	ID       policy.ID
	Problems []compile.Problem
}

// Compiled is a World of which the policies are read, and conflicts between them resolved.
type Compiled struct {
	world      *World
	namespaces map[string]labels.Set
	services   map[string]*corev1.Service
	slices     map[string][]discoveryv1.EndpointSlice
	// own are the RetryPolicies in force by namespace, and cluster the ClusterRetryPolicies.
	own     map[string][]*compile.Policy
	cluster []*compile.Policy
	// Sources are all policies as written, by ID.
	Sources map[policy.ID]compile.Source
	Refused []Refused
}

// Compile reads the policies of a world, at a time: what their annotations say holds for a time only.
//
// Which version of a policy a rollout has brought to which node cannot be seen in resources: it is the version as written that counts here.
func Compile(w *World, now time.Time) *Compiled {
	c := &Compiled{
		world: w, namespaces: map[string]labels.Set{}, services: map[string]*corev1.Service{}, slices: map[string][]discoveryv1.EndpointSlice{},
		own: map[string][]*compile.Policy{}, Sources: map[policy.ID]compile.Source{},
	}
	for i := range w.Namespaces {
		c.namespaces[w.Namespaces[i].Name] = w.Namespaces[i].Labels
	}
	for i := range w.Services {
		c.services[w.Services[i].Namespace+"/"+w.Services[i].Name] = &w.Services[i]
	}
	for i := range w.EndpointSlices {
		s := &w.EndpointSlices[i]
		name := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		c.slices[name] = append(c.slices[name], *s)
	}
	own := map[string][]compile.Source{}
	for i := range w.RetryPolicies {
		p := &w.RetryPolicies[i]
		src := compile.FromRetryPolicy(p)
		src.Forced, src.Faults = compile.ForcedOf(&p.ObjectMeta, now), compile.FaultsOf(&src, &p.ObjectMeta, now)
		own[p.Namespace] = append(own[p.Namespace], src)
	}
	for namespace, sources := range own {
		c.own[namespace] = c.read(sources)
	}
	var cluster []compile.Source
	for i := range w.ClusterRetryPolicies {
		p := &w.ClusterRetryPolicies[i]
		src := compile.FromClusterRetryPolicy(p)
		src.Forced, src.Faults = compile.ForcedOf(&p.ObjectMeta, now), compile.FaultsOf(&src, &p.ObjectMeta, now)
		cluster = append(cluster, src)
	}
	c.cluster = c.read(cluster)
	slices.SortFunc(c.Refused, func(a, b Refused) int { return a.ID.Compare(b.ID) })
	return c
}

// read returns those of the policies of a namespace, or of the cluster, that are in force.
func (c *Compiled) read(sources []compile.Source) []*compile.Policy {
	var candidates []compile.Candidate
	for _, src := range sources {
		c.Sources[src.ID] = src
		p, problems := compile.Read(src, c.service, compile.NoReferences)
		if len(problems) > 0 && !slices.ContainsFunc(problems, func(p compile.Problem) bool { return p.Reason != v1alpha1.ReasonReferenceNotFound }) {
			// What it refers to is none of ours to read. The policy's own status says whether it is usable.
			p, problems = compile.Restore(src, c.service), nil
		}
		if p == nil {
			c.Refused = append(c.Refused, Refused{src.ID, problems})
			continue
		}
		candidates = append(candidates, compile.Candidate{ID: src.ID, Current: p})
	}
	var out []*compile.Policy
	for i, v := range compile.ResolveConflicts(candidates) {
		if v.Conflict != nil {
			c.Refused = append(c.Refused, Refused{candidates[i].ID, []compile.Problem{v.Conflict.Problem()}})
		}
		if v.InForce != nil {
			out = append(out, v.InForce)
		}
	}
	return out
}

func (c *Compiled) service(name string) (*compile.Service, bool) {
	svc := c.services[name]
	if svc == nil {
		return nil, false
	}
	return compile.ServiceOf(svc), true
}

// Destination returns a Service as agents see it, or nil.
func (c *Compiled) Destination(name string) *policy.Destination {
	svc := c.services[name]
	if svc == nil {
		return nil
	}
	return compile.DestinationOf(svc, c.slices[name], cmp.Or(c.world.Domain, "cluster.local"))
}

// Ungoverned is why no policy can govern the calls of a pod, whatever they select.
type Ungoverned string

// The reasons.
const (
	Governed    Ungoverned = ""
	HostNetwork Ungoverned = "the pod is on the host's network, where calls are never governed"
	Exempt      Ungoverned = "the pod is in fairlead's own namespace, whose pods are never governed"
	Ended       Ungoverned = "the pod has ended"
)

// InForce is what is in force for a pod.
type InForce struct {
	// Why is why nothing can be.
	Why Ungoverned
	// Policies are those that select the pod and act, or are dry runs, as they read in its namespace. Disabled are the others that select it.
	Policies, Disabled []*compile.Policy
	Profile            *policy.Profile
}

// For returns what is in force for a pod.
func (c *Compiled) For(pod *corev1.Pod) *InForce {
	f := &InForce{}
	switch {
	case pod.Namespace == c.world.Exempt:
		f.Why = Exempt
	case pod.Spec.HostNetwork:
		f.Why = HostNetwork
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		f.Why = Ended
	}
	if f.Why != Governed {
		f.Profile = &policy.Profile{}
		return f
	}
	for _, list := range [][]*compile.Policy{c.own[pod.Namespace], c.cluster} {
		for _, p := range list {
			switch {
			case !p.Selects(c.namespaces[pod.Namespace], pod.Labels):
			case p.Enforced() || p.Mode == v1alpha1.ModeDryRun:
				f.Policies = append(f.Policies, p.In(pod.Namespace, c.service))
			default:
				f.Disabled = append(f.Disabled, p)
			}
		}
	}
	f.Profile = compile.Compile("", f.Policies)
	return f
}
