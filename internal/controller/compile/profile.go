package compile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// maxName bounds readable names; longer ones are hashed.
const maxName = 128

// ProfileName returns the name of the profile of pods that the policies with these IDs select. It does not depend on their order
// or content. Namespace is "" unless the profile differs between namespaces.
func ProfileName(namespace string, ids []policy.ID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	slices.Sort(names)
	name := strings.Join(names, "+")
	if namespace != "" {
		name += "@" + namespace
	}
	return short(name)
}

func short(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxName-34] + "~" + hex.EncodeToString(sum[:16])
}

// entry is a target and the policy it belongs to.
type entry struct {
	policy *Policy
	target *target
}

// Compile merges policies that select the same pods into their profile. Policies that do not act must have been left out. The
// result does not depend on the order of the policies.
func Compile(name string, policies []*Policy, services Lookup) *policy.Profile {
	d := drawing{merges: map[string]*merge{}, services: services}
	failClosed := false
	places := map[string][]entry{}
	for _, p := range policies {
		failClosed = failClosed || (p.Body != nil && p.Body.FailurePolicy == v1alpha1.FailurePolicyClosed)
		for i := range p.targets {
			e := entry{p, &p.targets[i]}
			d.entries = append(d.entries, e)
			places[e.target.place()] = append(places[e.target.place()], e)
		}
	}
	slices.SortFunc(d.entries, compareEntries)
	for _, own := range places {
		slices.SortFunc(own, compareEntries)
		d.drawPlace(own)
	}
	slices.SortFunc(d.bindings, compareBindings)
	out := &policy.Profile{Name: name, FailClosed: failClosed, Bindings: make([]policy.Binding, len(d.bindings))}
	for i := range d.bindings {
		out.Bindings[i] = d.bindings[i].Binding
	}
	return out
}

// compareEntries orders the least significant entry first: by level, then by how specific its destination is, then the newer, then
// by name.
func compareEntries(a, b entry) int {
	if c := cmp.Or(cmp.Compare(a.policy.Level, b.policy.Level), compareSpecificity(a.target, b.target)); c != 0 {
		return c
	}
	if a.policy != b.policy {
		if a.policy.older(&b.policy.Source) {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.target.index, b.target.index)
}

// drawing is the state of one Draw.
type drawing struct {
	entries  []entry // of all policies, least significant first
	bindings []drawn
	merges   map[string]*merge // by the IDs merged
	services Lookup
}

// drawn is a binding and what it is sorted by.
type drawn struct {
	policy.Binding
	most *target // the most specific target it stands for
	rest bool    // it stands for the ports that no other binding of its place has
}

// drawPlace adds the bindings of one place: one for each set of ports for which the same entries count.
func (d *drawing) drawPlace(own []entry) {
	var covering []entry
	for _, e := range d.entries {
		if e.target.coversPlace(own[0].target) {
			covering = append(covering, e)
		}
	}
	groups := map[string][]uint16{}
	for _, port := range portsOf(own, covering) {
		if key := signature(own, port); key != "" {
			key = signature(covering, port)
			groups[key] = append(groups[key], port)
		}
	}
	for _, ports := range groups {
		d.bind(own, covering, ports)
	}
}

// portsOf returns the ports that matter for a place, with 0 for all the others if a target means every port.
func portsOf(own, covering []entry) []uint16 {
	every := slices.ContainsFunc(own, func(e entry) bool { return len(e.target.Ports) == 0 })
	from := own
	var out []uint16
	if every {
		from, out = covering, []uint16{0}
	}
	for _, e := range from {
		out = append(out, e.target.Ports...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// signature names the entries that cover the port.
func signature(entries []entry, port uint16) string {
	var b strings.Builder
	for i, e := range entries {
		if e.target.coversPort(port) {
			b.WriteString(strconv.Itoa(i))
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// bind adds the binding of a place for ports that the same entries cover.
func (d *drawing) bind(own, covering []entry, ports []uint16) {
	rest := ports[0] == 0
	var b drawn
	b.rest = rest
	for _, e := range own { // the most significant comes last and decides
		if !e.target.coversPort(ports[0]) {
			continue
		}
		protocol := b.To.Protocol
		b.To = e.target.Target
		if b.To.Protocol == policy.ProtocolAuto {
			b.To.Protocol = protocol
		}
		if b.most == nil || compareSpecificity(b.most, e.target) < 0 {
			b.most = e.target
		}
	}
	b.To.Ports = ports
	if rest {
		b.To.Ports = nil
	}
	m := d.merge(covering, ports[0])
	b.Policy, b.Merged, b.Base, b.Rules = m.policy, m.ids, m.base, m.rules
	b.Mode = policy.ModeEnforce
	b.Key = bindingKey(m.name, b.most.place(), b.To.Ports)
	if svc := d.service(&b.To); svc != nil && svc.Affinity {
		b.leaveToCluster()
	}
	d.bindings = append(d.bindings, b)
}

// service returns the Service that a target names, or nil.
func (d *drawing) service(to *policy.Target) *Service {
	if to.Kind != policy.TargetService {
		return nil
	}
	svc, _ := d.services(to.Service)
	return svc
}

// leaveToCluster has calls go to the address that the pod called, so that the cluster picks the endpoint.
func (b *drawn) leaveToCluster() {
	b.Base.LoadBalancing = policy.ClusterIP
	b.Rules = slices.Clone(b.Rules) // bindings of one merge share them
	for i := range b.Rules {
		b.Rules[i].Settings.LoadBalancing = policy.ClusterIP
	}
}

func bindingKey(merged, place string, ports []uint16) string {
	var b strings.Builder
	b.WriteString(merged)
	b.WriteString(" ")
	b.WriteString(place)
	for i, p := range ports {
		b.WriteByte(":,"[min(i, 1)])
		b.WriteString(strconv.Itoa(int(p)))
	}
	return short(b.String())
}

// compareBindings orders the most specific binding first, and the one for the remaining ports of a place last among its own.
func compareBindings(a, b drawn) int {
	if a.most.place() == b.most.place() {
		if a.rest != b.rest {
			if a.rest {
				return 1
			}
			return -1
		}
		return slices.Compare(a.To.Ports, b.To.Ports)
	}
	return cmp.Or(compareSpecificity(b.most, a.most), cmp.Compare(a.To.Kind, b.To.Kind), cmp.Compare(a.most.place(), b.most.place()))
}
