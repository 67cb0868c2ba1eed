package compile

import (
	"fmt"
	"reflect"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Destination describes one entry of a policy's to.
type Destination struct {
	// Index is its index in to; entries that the last good version had to do without are missing.
	Index int
	// Label is the entry for messages, such as warehouse/inventory:80.
	Label string
	// Target is the entry as reports name it.
	Target string
	// Service is "namespace/name" for a Service, else "".
	Service string
	// Ports are the Service's ports that are meant; empty means all.
	Ports    []uint16
	Protocol v1alpha1.Protocol
	// MeetsQUIC says that calls to it could be made over QUIC too.
	MeetsQUIC bool
	// Intercepts says that agents end its pods' TLS.
	Intercepts bool
}

// Destinations describes the entries of to in their order.
func (p *Policy) Destinations() []Destination {
	out := make([]Destination, len(p.targets))
	for i := range p.targets {
		t := &p.targets[i]
		out[i] = Destination{Index: t.index, Label: t.Label(), Target: t.String(), Ports: t.Ports, Protocol: declared(&p.To[t.index])}
		if t.Kind == policy.TargetService && !t.relative() {
			out[i].Service = t.Service
		}
		out[i].MeetsQUIC = t.Kind != policy.TargetService && t.coversPort(https)
		out[i].Intercepts = intercepts(&p.To[t.index])
	}
	return out
}

func declared(d *v1alpha1.Destination) v1alpha1.Protocol {
	p := d.Protocol
	if d.CIDR != nil {
		p = d.CIDR.Protocol
	}
	if p == "" {
		return v1alpha1.ProtocolAuto
	}
	return p
}

// HasBreaker reports whether the policy itself sets a circuit breaker, for all calls or in a rule.
func (s *Source) HasBreaker() bool {
	if s.Body == nil {
		return false
	}
	on := func(b *v1alpha1.CircuitBreaker) bool { return b != nil && b.Mode != v1alpha1.SwitchDisabled }
	for i := range s.Body.Rules {
		if on(s.Body.Rules[i].CircuitBreaker) {
			return true
		}
	}
	return on(s.Body.CircuitBreaker)
}

// Overlap lists the top-level blocks in which both policies set a field, for all calls or for those of a rule.
func Overlap(a, b *Policy) []string {
	if a.Body == nil || b.Body == nil {
		return nil
	}
	names := overlapBlocks(reflect.ValueOf(*a.Body), reflect.ValueOf(*b.Body))
	add := func(x, y v1alpha1.CallBlocks) {
		for _, name := range overlapBlocks(reflect.ValueOf(x), reflect.ValueOf(y)) {
			if !contained(names, name) {
				names = append(names, name)
			}
		}
	}
	for i := range a.Body.Rules {
		add(a.Body.Rules[i].CallBlocks, b.Body.CallBlocks)
	}
	for i := range b.Body.Rules {
		add(a.Body.CallBlocks, b.Body.Rules[i].CallBlocks)
	}
	return names
}

func overlapBlocks(a, b reflect.Value) []string {
	var out []string
	for i := range a.NumField() {
		x, y, f := a.Field(i), b.Field(i), a.Type().Field(i)
		switch {
		case f.Anonymous:
			out = append(out, overlapBlocks(x, y)...)
		case overlapField(x, y):
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			out = append(out, name)
		}
	}
	return out
}

// DescribeUnenforced returns one sentence per reason about the fields that are not enforced.
func DescribeUnenforced(fields []UnenforcedField) string {
	sentences := []struct {
		reason       string
		destinations bool // it is about entries of to; else about other fields. Of some reasons there are only one or the other.
		sentence     string
	}{
		{v1alpha1.ReasonEncrypted, true, "Governed as whole connections where the calls are encrypted: %s."},
		{v1alpha1.ReasonEncrypted, false, "Without effect where the calls are encrypted: %s."},
		{v1alpha1.ReasonServiceAffinity, false, "Without effect, since each pod keeps its endpoint, as the Service's sessionAffinity asks: %s."},
		{v1alpha1.ReasonOpaqueProtocol, true, "Each connection is one call, since the protocol has no requests to tell apart: %s."},
		{v1alpha1.ReasonNotInDryRun, false, "A dry run cannot say what would come of %s."},
		{v1alpha1.ReasonOpaqueProtocol, false, "Without effect where there are no requests: %s."},
	}
	split := map[string]bool{v1alpha1.ReasonEncrypted: true, v1alpha1.ReasonOpaqueProtocol: true}
	var out []string
	for _, s := range sentences {
		var paths []string
		for _, f := range fields {
			if split[s.reason] && strings.HasPrefix(f.Field, "to[") != s.destinations {
				continue
			}
			if f.Reason == s.reason && !contained(paths, f.Field) {
				paths = append(paths, f.Field)
			}
		}
		if len(paths) > 0 {
			out = append(out, fmt.Sprintf(s.sentence, strings.Join(paths, ", ")))
		}
	}
	return strings.Join(out, " ")
}
