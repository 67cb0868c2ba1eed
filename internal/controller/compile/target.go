package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/policy"
)

// target is one entry of a policy's to, resolved.
type target struct {
	policy.Target
	// index is its index in to.
	index int
	// written says that the user wrote the ports, which makes the entry more specific than one that means the default ports.
	written bool
	// portName is the Service's port by name while the Service is that of each caller's own namespace; else it is resolved.
	portName string
}

// The ranks of api.md: "exact host or Service with port > exact host or Service > longer CIDR > longer wildcard > * / any".
const (
	rankAny = iota
	rankEveryHost
	rankWildcard
	rankCIDR
	rankExact
	rankExactPort
)

func (t *target) rank() int {
	switch t.Kind {
	case policy.TargetAny:
		return rankAny
	case policy.TargetCIDR:
		return rankCIDR
	case policy.TargetHost:
		if t.Host == "*" {
			return rankEveryHost
		}
		if strings.HasPrefix(t.Host, "*.") {
			return rankWildcard
		}
	case policy.TargetService:
	}
	if t.written {
		return rankExactPort
	}
	return rankExact
}

// length orders targets of one rank: a longer prefix or a longer wildcard is more specific, and so are written ports.
func (t *target) length() int {
	n := 0
	switch t.Kind {
	case policy.TargetCIDR:
		n = t.Block.Bits()
	case policy.TargetHost:
		if t.rank() == rankWildcard {
			n = len(t.Host)
		}
	case policy.TargetAny, policy.TargetService:
	}
	if t.written {
		return 2*n + 1
	}
	return 2 * n
}

// compareSpecificity orders the less specific target first.
func compareSpecificity(a, b *target) int {
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.length(), b.length()))
}

// key is the target key: it identifies what the target names, apart from its ports.
func (t *target) key() string {
	s := t.String()
	for _, e := range t.Except {
		s += " except " + e.String()
	}
	return s
}

// covers reports whether, ports aside, every call to o is also a call to t. Targets are compared by how they are named: a name and an
// address never cover each other, since one call can be both.
func (t *target) covers(o *target) bool {
	switch t.Kind {
	case policy.TargetAny:
		return true
	case policy.TargetService:
		return o.Kind == policy.TargetService && t.Service == o.Service
	case policy.TargetHost:
		return o.Kind == policy.TargetHost && coversHost(t.Host, o.Host)
	case policy.TargetCIDR:
		return o.Kind == policy.TargetCIDR && coversBlock(t, o)
	}
	return false
}

func coversHost(pattern, host string) bool {
	if pattern == "*" || pattern == host {
		return true
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*")
	return wildcard && strings.HasSuffix(host, suffix)
}

// coversBlock reports whether o's addresses are all t's: its block lies in t's, and what t excepts of it, it excepts too.
func coversBlock(t, o *target) bool {
	if !containsPrefix(t.Block, o.Block) {
		return false
	}
	for _, e := range t.Except {
		if e.Overlaps(o.Block) && !slices.ContainsFunc(o.Except, func(p netip.Prefix) bool { return containsPrefix(p, e) }) {
			return false
		}
	}
	return true
}

func containsPrefix(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// coversPort reports whether t covers the port; port 0 stands for all ports that no target of the key names.
func (t *target) coversPort(port uint16) bool {
	return len(t.Ports) == 0 || slices.Contains(t.Ports, port)
}

// sharesPort reports whether the targets have a port in common.
func (t *target) sharesPort(o *target) bool {
	return len(t.Ports) == 0 || len(o.Ports) == 0 || slices.ContainsFunc(t.Ports, func(p uint16) bool { return slices.Contains(o.Ports, p) })
}

// Label shows the target with its ports, as messages and status do: "warehouse/inventory:80", "api.example:8443", "any".
func (t *target) Label() string {
	name := strings.TrimPrefix(t.String(), "service ")
	name = strings.TrimPrefix(strings.TrimPrefix(name, "host "), "cidr ")
	switch {
	case t.portName != "":
		return name + ":" + t.portName
	case len(t.Ports) == 0 || !t.written:
		return name
	}
	ports := make([]string, len(t.Ports))
	for i, p := range t.Ports {
		ports[i] = strconv.Itoa(int(p))
	}
	if t.Kind == policy.TargetCIDR || t.Kind == policy.TargetAny {
		return fmt.Sprintf("%s ports %s", name, strings.Join(ports, ","))
	}
	return name + ":" + strings.Join(ports, ",")
}
