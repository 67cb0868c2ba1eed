package compile

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// fallbackOf returns nil when the block is absent or switched off, or has nothing that calls could end with.
func fallbackOf(in *v1alpha1.Fallback) *policy.Fallback {
	if in == nil || in.Mode == v1alpha1.SwitchDisabled || in.Response == nil && in.Destination == nil {
		return nil
	}
	on := func(c v1alpha1.FallbackCondition) bool { return in.When == nil || slices.Contains(in.When, c) }
	f := &policy.Fallback{On: policy.FallbackOn{
		CircuitOpen:      on(v1alpha1.FallbackOnCircuitOpen),
		RetriesExhausted: on(v1alpha1.FallbackOnRetriesExhausted),
		RateLimited:      on(v1alpha1.FallbackOnRateLimited),
	}}
	if in.Destination != nil {
		f.Destination = backupOf(in.Destination)
		return f
	}
	f.Response = &policy.FallbackResponse{Status: int(in.Response.StatusCode), Body: in.Response.Body}
	for _, h := range in.Response.Headers {
		// Whitespace around a value is no part of it (RFC 9110 section 5.5), and makes a field of HTTP/2 malformed (RFC 9113 section 8.2.1).
		f.Response.Headers = append(f.Response.Headers, policy.HeaderField{Name: string(h.Name), Value: strings.Trim(h.Value, " \t")})
	}
	return f
}

// backupOf returns what is called instead, whose Service has been resolved.
func backupOf(in *v1alpha1.FallbackDestination) *policy.Target {
	if s := in.Service; s != nil {
		t := &policy.Target{Kind: policy.TargetService, Service: s.Namespace + "/" + s.Name}
		if s.Port != nil {
			t.Ports = []uint16{uint16(s.Port.IntVal)}
		}
		return t
	}
	t := &policy.Target{Kind: policy.TargetHost, Host: strings.ToLower(string(in.Host))}
	if in.Port != nil {
		t.Ports = []uint16{uint16(*in.Port)}
	}
	return t
}

// backup is a block of a body that has calls fall back on a Service.
type backup struct {
	at    string // the field that names it, as users write it
	block **v1alpha1.Fallback
}

// backups lists them.
func backups(src *Source, body *v1alpha1.PolicyBody) (out []backup) {
	if body == nil {
		return nil
	}
	add := func(at string, block **v1alpha1.Fallback) {
		if f := *block; f != nil && f.Mode != v1alpha1.SwitchDisabled && f.Destination != nil && f.Destination.Service != nil {
			out = append(out, backup{src.field(at + "fallback.destination"), block})
		}
	}
	add("", &body.Fallback)
	for i := range body.Rules {
		add(fmt.Sprintf("rules[%s].", body.Rules[i].Name), &body.Rules[i].Fallback)
	}
	return out
}

// service is the Service's name as a Lookup has it, its namespace that of a policy where none is written; "*" for each caller's own.
func (b backup) service(namespace string) string {
	return serviceName((*b.block).Destination.Service, namespace)
}

// readBackups resolves the Services that calls fall back on, in a body of the policy's own. remove has those left out that there are not,
// which are the problems otherwise.
func (p *Policy) readBackups(services Lookup, remove bool) (problems []Problem) {
	if len(backups(&p.Source, p.Body)) == 0 {
		return nil
	}
	p.Body = p.Body.DeepCopy()
	for _, b := range backups(&p.Source, p.Body) {
		if strings.HasPrefix(b.service(p.ID.Namespace), callersNamespace+"/") {
			continue // Policy.In does it
		}
		problem := b.resolve(p.ID.Namespace, services)
		switch {
		case problem == nil:
		case remove:
			*b.block = nil
		default:
			problems = append(problems, *problem)
		}
	}
	return problems
}

// resolve writes the Service's namespace and the number of its port.
func (b backup) resolve(namespace string, services Lookup) *Problem {
	d := (*b.block).Destination.Service
	full := b.service(namespace)
	d.Namespace = strings.TrimSuffix(full, "/"+d.Name)
	svc, ok := services(full)
	switch {
	case !ok:
		return &Problem{v1alpha1.ReasonServiceNotFound, fmt.Sprintf("%s: there is no Service %s in namespace %s; create it, or correct the name.", b.at, d.Name, d.Namespace)}
	case svc.External:
		return &Problem{v1alpha1.ReasonInvalid, fmt.Sprintf(
			"%s: Service %s is of type ExternalName, so it has no addresses; write host instead, with the name that it stands for.", b.at, full)}
	}
	t := target{}
	t.setPort(d.Port)
	if !t.resolvePort(svc) {
		return &Problem{v1alpha1.ReasonPortNotFound, fmt.Sprintf("%s: Service %s has no port %s; it has %s.", b.at, full, d.Port.String(), svc.describePorts())}
	}
	if d.Port != nil {
		port := intstr.FromInt32(int32(t.Ports[0]))
		d.Port = &port
	}
	return nil
}

// backupsIn resolves, in a copy of the body, the Services of the callers' own namespace. Where the namespace lacks one there is no such fallback.
func (p *Policy) backupsIn(namespace string, services Lookup) {
	p.Body = p.Body.DeepCopy()
	for _, b := range backups(&p.Source, p.Body) {
		if strings.HasPrefix(b.service(""), callersNamespace+"/") && b.resolve(namespace, services) != nil {
			*b.block = nil
		}
	}
}

// backsUpRelatively reports whether calls fall back on different Services in different namespaces.
func (p *Policy) backsUpRelatively() bool {
	return slices.ContainsFunc(backups(&p.Source, p.Body), func(b backup) bool {
		return strings.HasPrefix(b.service(p.ID.Namespace), callersNamespace+"/")
	})
}
