package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// callersNamespace stands for the namespace of a Service that a ClusterRetryPolicy names without one: "absent means the caller's
// own". Policy.In replaces it.
const callersNamespace = "*"

// Lookup finds a Service by "namespace/name".
type Lookup func(name string) (*Service, bool)

// Problem says why a policy is not accepted.
type Problem struct {
	// Reason is one of the Reasons of the Accepted condition.
	Reason string
	// Message is a sentence that says what to do.
	Message string
}

// Policy is one policy, checked on its own and ready to be merged. It is immutable.
type Policy struct {
	Source
	// Pods and Namespaces are the selectors; Namespaces is nil for a RetryPolicy.
	Pods       labels.Selector
	Namespaces labels.Selector

	targets []target
}

// Read checks a policy on its own, against the Services that it names and what else it refers to. With problems the Policy is nil.
func Read(src Source, services Lookup, find FindReference) (*Policy, []Problem) {
	p := &Policy{Source: src}
	problems := append(p.readSelectors(), src.Forced.problems(len(src.To))...)
	problems = append(problems, src.Faults.problems()...)
	problems = append(problems, p.readPatterns()...)
	problems = append(problems, p.readBackups(services, false)...)
	for i := range src.To {
		t, problem := p.readTarget(i, services)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		problems = append(problems, p.readReferences(i, &t, find)...)
		p.targets = append(p.targets, t)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return p, nil
}

// RestoreLastGood returns the last good version of a policy as far as it is known to a manager that has not seen it: if this generation was
// in force and only what it names has gone since, it is this generation without that. Otherwise it is nil.
func RestoreLastGood(src Source, services Lookup) *Policy {
	if src.InForce == 0 || src.InForce != src.Generation {
		return nil
	}
	return Restore(src, services)
}

// Restore returns a version of a policy that was in force, without what has gone since of that which it names. It is nil if it cannot be read.
func Restore(src Source, services Lookup) *Policy {
	p := &Policy{Source: src}
	if len(p.readSelectors())+len(p.readPatterns()) > 0 {
		return nil
	}
	_ = p.readBackups(services, true)
	for i := range src.To {
		if t, problem := p.readTarget(i, services); problem == nil {
			// What else it refers to it keeps the names of, whatever has become of that: a call that was to be encrypted is not made in
			// plain text.
			_ = p.readReferences(i, &t, NoReferences)
			p.targets = append(p.targets, t)
		}
	}
	return p
}

// readReferences reads what an entry of to says by referring to objects, and returns what is wrong with those.
func (p *Policy) readReferences(i int, t *target, find FindReference) (problems []Problem) {
	t.TLS, problems = p.readTLS(i, find)
	credentials, wrong := p.readCredentials(i, find)
	t.Via.Credentials = credentials
	return append(problems, wrong...)
}

// Selects reports whether the policy selects a pod of a namespace, by their labels. A RetryPolicy is asked about its own namespace alone.
func (p *Policy) Selects(namespace, pod labels.Set) bool {
	return p.Pods.Matches(pod) && (p.Namespaces == nil || p.Namespaces.Matches(namespace))
}

func (p *Policy) readSelectors() []Problem {
	var problems []Problem
	read := func(field string, in *metav1.LabelSelector) labels.Selector {
		if in == nil {
			return labels.Everything()
		}
		s, err := metav1.LabelSelectorAsSelector(in)
		if err != nil {
			problems = append(problems, Problem{v1alpha1.ReasonInvalidSelector, fmt.Sprintf("%s is not a label selector: %v.", field, err)})
			return labels.Nothing()
		}
		return s
	}
	p.Pods = read("podSelector", p.PodSelector)
	if p.ID.Kind == policy.KindClusterRetryPolicy {
		p.Namespaces = read("namespaceSelector", p.NamespaceSelector)
	}
	return problems
}

func (p *Policy) readTarget(i int, services Lookup) (target, *Problem) {
	d := &p.To[i]
	t := target{index: i}
	t.Protocol = protocolOf(d.Protocol)
	switch {
	case d.Service != nil:
		return p.readService(t, d.Service, services)
	case d.Host != "":
		t.Kind = policy.TargetHost
		t.Host = strings.ToLower(string(d.Host))
		t.Ports, t.written = []uint16{80, 443}, len(d.Ports) > 0
		if t.written {
			t.Ports = ports(d.Ports)
		}
		return readVia(t, d.Via)
	case d.CIDR != nil:
		return readCIDR(t, d.CIDR)
	default:
		t.Kind = policy.TargetAny
		t.Ports, t.written = ports(d.Ports), len(d.Ports) > 0
	}
	return t, nil
}

func readCIDR(t target, d *v1alpha1.CIDRDestination) (target, *Problem) {
	t.Kind = policy.TargetCIDR
	t.Protocol = protocolOf(d.Protocol)
	t.Ports, t.written = ports(d.Ports), len(d.Ports) > 0
	block, err := netip.ParsePrefix(d.Block)
	if err != nil {
		return t, &Problem{v1alpha1.ReasonInvalid, fmt.Sprintf("to[%d].cidr.block %q is not a range of addresses.", t.index, d.Block)}
	}
	t.Block = block.Masked()
	for _, e := range d.Except {
		except, err := netip.ParsePrefix(e)
		if err != nil {
			return t, &Problem{v1alpha1.ReasonInvalid, fmt.Sprintf("to[%d].cidr.except %q is not a range of addresses.", t.index, e)}
		}
		t.Except = append(t.Except, except.Masked())
	}
	slices.SortFunc(t.Except, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	return t, nil
}

func (p *Policy) readService(t target, d *v1alpha1.ServiceDestination, services Lookup) (target, *Problem) {
	t.Kind = policy.TargetService
	t.Service = serviceName(d, p.ID.Namespace)
	namespace := strings.TrimSuffix(t.Service, "/"+d.Name)
	t.written = d.Port != nil
	if namespace == callersNamespace {
		t.setPort(d.Port)
		return t, nil
	}
	svc, ok := services(t.Service)
	if !ok {
		return t, &Problem{v1alpha1.ReasonServiceNotFound,
			fmt.Sprintf("to[%d]: there is no Service %s in namespace %s; create it, or correct the name.", t.index, d.Name, namespace)}
	}
	if svc.External {
		return t, &Problem{v1alpha1.ReasonInvalid, fmt.Sprintf(
			"to[%d]: Service %s is of type ExternalName, so it has no addresses to know its calls by; write host instead, with the name that pods call.",
			t.index, t.Service)}
	}
	t.setPort(d.Port)
	if !t.resolvePort(svc) {
		return t, &Problem{v1alpha1.ReasonPortNotFound,
			fmt.Sprintf("to[%d]: Service %s has no port %s; it has %s.", t.index, t.Service, d.Port.String(), svc.describePorts())}
	}
	return t, nil
}

func (t *target) setPort(port *intstr.IntOrString) {
	if port == nil {
		return
	}
	if port.Type == intstr.String {
		t.portName = port.StrVal
		return
	}
	t.Ports = []uint16{uint16(port.IntVal)}
}

// resolvePort replaces the port's name by its number, and reports whether svc has the port.
func (t *target) resolvePort(svc *Service) bool {
	if t.portName == "" {
		return len(t.Ports) == 0 || slices.ContainsFunc(svc.Ports, func(p ServicePort) bool { return p.Port == t.Ports[0] })
	}
	i := slices.IndexFunc(svc.Ports, func(p ServicePort) bool { return p.Name == t.portName })
	if i < 0 {
		return false
	}
	t.Ports, t.portName = []uint16{svc.Ports[i].Port}, ""
	return true
}

func (s *Service) describePorts() string {
	if len(s.Ports) == 0 {
		return "none"
	}
	var out []string
	for _, p := range s.Ports[:min(len(s.Ports), 8)] {
		out = append(out, strings.TrimPrefix(fmt.Sprintf("%s=%d", p.Name, p.Port), "="))
	}
	return strings.Join(out, ", ")
}

func ports(in []int32) []uint16 {
	if len(in) == 0 {
		return nil
	}
	out := make([]uint16, len(in))
	for i, p := range in {
		out[i] = uint16(p)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// serviceName returns the Service that a policy of a namespace means, as "namespace/name"; the namespace is "*" where it is the caller's own.
func serviceName(d *v1alpha1.ServiceDestination, namespace string) string {
	return cmp.Or(d.Namespace, namespace, callersNamespace) + "/" + d.Name
}

// Services lists the Services the policy names, as "namespace/name"; the namespace is "*" where it is the caller's own.
func Services(src *Source) []string {
	var out []string
	for i := range src.To {
		if d := src.To[i].Service; d != nil {
			out = append(out, serviceName(d, src.ID.Namespace))
		}
	}
	for _, b := range backups(src, src.Body) {
		out = append(out, b.service(src.ID.Namespace))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Relative reports whether the policy means different Services in different namespaces.
func (p *Policy) Relative() bool {
	return slices.ContainsFunc(p.targets, func(t target) bool { return t.relative() }) || p.backsUpRelatively()
}

func (t *target) relative() bool {
	return t.Kind == policy.TargetService && strings.HasPrefix(t.Service, callersNamespace+"/")
}

// In returns the policy as it reads for callers of a namespace. Services that the namespace lacks are left out: a policy for
// many namespaces need not fit all of them.
func (p *Policy) In(namespace string, services Lookup) *Policy {
	if !p.Relative() {
		return p
	}
	local := *p
	local.targets = nil
	if p.backsUpRelatively() {
		local.backupsIn(namespace, services)
	}
	for _, t := range p.targets {
		if t.relative() {
			t.Service = namespace + strings.TrimPrefix(t.Service, callersNamespace)
			svc, ok := services(t.Service)
			if !ok || svc.External || !t.resolvePort(svc) {
				continue
			}
		}
		local.targets = append(local.targets, t)
	}
	return &local
}
