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
	return boundName(name)
}

func boundName(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxName-34] + "~" + hex.EncodeToString(sum[:16])
}

// policyTarget is a target and the policy it belongs to.
type policyTarget struct {
	policy *Policy
	target *target
}

// Compile merges policies that select the same pods into their profile. Policies that do not act must have been left out. The
// result does not depend on the order of the policies.
func Compile(name string, policies []*Policy) *policy.Profile {
	c := compiler{merges: map[string]*merge{}}
	failClosed := false
	byKey := map[string][]policyTarget{}
	for _, p := range policies {
		failClosed = failClosed || (p.Body != nil && p.Body.FailurePolicy == v1alpha1.FailurePolicyClosed)
		for i := range p.targets {
			t := policyTarget{p, &p.targets[i]}
			c.targets = append(c.targets, t)
			byKey[t.target.key()] = append(byKey[t.target.key()], t)
		}
	}
	slices.SortFunc(c.targets, comparePolicyTargets)
	for _, own := range byKey {
		slices.SortFunc(own, comparePolicyTargets)
		c.compileKey(own)
	}
	slices.SortFunc(c.bindings, compareBindings)
	out := &policy.Profile{Name: name, FailClosed: failClosed, Bindings: make([]policy.Binding, len(c.bindings))}
	for i := range c.bindings {
		out.Bindings[i] = c.bindings[i].Binding
	}
	return out
}

// comparePolicyTargets orders the least significant target first: by level, then by how specific it is, then the newer policy's, then by
// name.
func comparePolicyTargets(a, b policyTarget) int {
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

// compiler is the state of one Compile.
type compiler struct {
	targets  []policyTarget // of all policies, least significant first
	bindings []compiledBinding
	merges   map[string]*merge // by the IDs merged
}

// compiledBinding is a binding and what it is sorted by.
type compiledBinding struct {
	policy.Binding
	mostSpecific *target // the most specific of its targets
	remainder    bool    // it is for the ports that no other binding with its target key has
}

// compileKey adds the bindings of the targets that have one key: one for each set of ports to which the same targets apply.
func (c *compiler) compileKey(own []policyTarget) {
	var covering []policyTarget
	for _, t := range c.targets {
		if t.target.covers(own[0].target) {
			covering = append(covering, t)
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
		c.addBinding(own, covering, ports)
	}
}

// portsOf returns the ports that the targets of a key name, with 0 for all others if one of them means every port.
func portsOf(own, covering []policyTarget) []uint16 {
	every := slices.ContainsFunc(own, func(t policyTarget) bool { return len(t.target.Ports) == 0 })
	from := own
	var out []uint16
	if every {
		from, out = covering, []uint16{0}
	}
	for _, t := range from {
		out = append(out, t.target.Ports...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// signature identifies those of the targets that cover the port.
func signature(targets []policyTarget, port uint16) string {
	var b strings.Builder
	for i, t := range targets {
		if t.target.coversPort(port) {
			b.WriteString(strconv.Itoa(i))
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// addBinding adds the binding of a target key for ports that the same targets cover.
func (c *compiler) addBinding(own, covering []policyTarget, ports []uint16) {
	b := compiledBinding{remainder: ports[0] == 0}
	for _, t := range own { // the most significant comes last and decides
		if !t.target.coversPort(ports[0]) {
			continue
		}
		protocol := b.To.Protocol
		b.To = t.target.Target
		if b.To.Protocol == policy.ProtocolAuto {
			b.To.Protocol = protocol
		}
		if b.mostSpecific == nil || compareSpecificity(b.mostSpecific, t.target) < 0 {
			b.mostSpecific = t.target
		}
	}
	b.To.Ports = ports
	if b.remainder {
		b.To.Ports = nil
	}
	b.takeTLS(covering, ports[0])
	b.takeVia(covering, ports[0])
	m := c.merge(covering, ports[0])
	b.Policy, b.Merged, b.Base, b.Rules = m.policy, m.ids, m.base, m.rules
	b.RejectQUIC = m.rejectQUIC
	b.takeForced(covering, ports[0])
	b.Mode = policy.ModeEnforce
	b.Key = bindingKey(m.name, b.mostSpecific.key()+tlsKey(b.To.TLS)+viaKey(b.To.Via), b.To.Ports)
	c.bindings = append(c.bindings, b)
}

// takeTLS takes the TLS of the most significant target that says anything about it, a less specific one too: what a policy says about retries
// to one host of many must not have calls made in plain text.
func (b *compiledBinding) takeTLS(covering []policyTarget, port uint16) {
	if b.To.Kind != policy.TargetHost {
		return
	}
	b.To.TLS = policy.TLS{}
	for _, t := range slices.Backward(covering) {
		if !t.target.coversPort(port) || t.policy.To[t.target.index].TLS == nil {
			continue
		}
		if b.To.TLS = t.target.TLS; b.To.Protocol == policy.ProtocolAuto {
			b.To.Protocol = t.target.Protocol
		}
		return
	}
}

// takeVia takes the proxy of the most significant target that says anything about one, a less specific one too: what a policy says about
// retries to one host of many must not have calls go where they cannot.
func (b *compiledBinding) takeVia(covering []policyTarget, port uint16) {
	b.To.Via = policy.Via{}
	if b.To.Kind != policy.TargetHost {
		return
	}
	for _, t := range slices.Backward(covering) {
		if t.target.coversPort(port) && t.policy.To[t.target.index].Via != nil {
			b.To.Via = t.target.Via
			return
		}
	}
}

func bindingKey(merged, targetKey string, ports []uint16) string {
	var b strings.Builder
	b.WriteString(merged)
	b.WriteString(" ")
	b.WriteString(targetKey)
	for i, p := range ports {
		b.WriteByte(":,"[min(i, 1)])
		b.WriteString(strconv.Itoa(int(p)))
	}
	return boundName(b.String())
}

// compareBindings orders the most specific binding first, and of those with one target key the one for the remaining ports last.
func compareBindings(a, b compiledBinding) int {
	if a.mostSpecific.key() == b.mostSpecific.key() {
		if a.remainder != b.remainder {
			if a.remainder {
				return 1
			}
			return -1
		}
		return slices.Compare(a.To.Ports, b.To.Ports)
	}
	return cmp.Or(compareSpecificity(b.mostSpecific, a.mostSpecific), cmp.Compare(a.To.Kind, b.To.Kind), cmp.Compare(a.mostSpecific.key(), b.mostSpecific.key()))
}
