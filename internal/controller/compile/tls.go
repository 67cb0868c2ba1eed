package compile

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// tlsUses lists what the TLS of an entry of to refers to.
func tlsUses(src *Source, i int) []use {
	t := src.To[i].TLS
	if t == nil {
		return nil
	}
	var out []use
	field := fmt.Sprintf("to[%d].tls.", i)
	if u, ok := rootsUse(src, field, t.CABundleRef); ok {
		out = append(out, u)
	}
	if t.ClientCertificateRef != nil {
		out = append(out, secretUse(src, field+"clientCertificateRef", t.ClientCertificateRef, policy.ReferenceKeyPair))
	}
	return out
}

// rootsUse is the use of a CA bundle; ok is false if the public roots are meant.
func rootsUse(src *Source, field string, ref *v1alpha1.CABundleReference) (u use, ok bool) {
	if ref == nil || ref.Kind == v1alpha1.CABundleSystem {
		return use{}, false
	}
	u = use{field + "caBundleRef", Reference{ref.Kind, src.ID.Namespace, ref.Name}, policy.ReferenceRoots, ref.Key}
	if ref.Kind == v1alpha1.CABundleClusterTrustBundle {
		u.reference.Namespace = ""
		return u, true
	}
	u.reference.Kind, u.entry = cmp.Or(ref.Kind, v1alpha1.CABundleConfigMap), cmp.Or(ref.Key, caEntry)
	return u, true
}

// readTLS returns what an entry of to says about TLS, and what is wrong with what it refers to.
func (p *Policy) readTLS(i int, find FindReference) (policy.TLS, []Problem) {
	in := p.To[i].TLS
	if in == nil {
		return policy.TLS{}, nil
	}
	out := policy.TLS{Mode: tlsModeOf(in.Mode), ServerName: strings.ToLower(string(in.SNI))}
	if in.Port != nil {
		out.Port = uint16(*in.Port)
	}
	if out.Mode == policy.TLSIntercept {
		out.Issuer = policy.IssuerName
		setInt(&out.PassAfter, in.PassthroughAfter)
	}
	var problems []Problem
	for _, u := range tlsUses(&p.Source, i) {
		if u.kind == policy.ReferenceRoots {
			out.Roots = u.name()
		} else {
			out.Certificate = u.name()
		}
		if _, problem := u.resolve(find); problem != nil {
			problems = append(problems, *problem)
		}
	}
	return out, problems
}

// tlsKey tells bindings apart that call a host over TLS, each on its port, and that do not: when a policy is edited, calls under way go on as they
// began.
func tlsKey(t policy.TLS) string {
	if t.Mode != policy.TLSOriginate {
		return ""
	}
	if t.Port == 0 {
		return " tls"
	}
	return " tls :" + strconv.Itoa(int(t.Port))
}

func tlsModeOf(m v1alpha1.TLSMode) policy.TLSMode {
	switch m {
	case v1alpha1.TLSOriginate:
		return policy.TLSOriginate
	case v1alpha1.TLSIntercept:
		return policy.TLSIntercept
	case v1alpha1.TLSPassthrough:
	}
	return policy.TLSPassthrough
}

// Expiring returns sentences about what a policy refers to and what ends soon.
func Expiring(src *Source, find FindReference) []string {
	var out []string
	for _, u := range usesOf(src) {
		m, problem := u.resolve(find)
		if problem != nil || m.Expires.IsZero() {
			continue
		}
		if now := find(u.reference).Now; !now.Before(m.Expires.Add(-expirySoon)) {
			out = append(out, fmt.Sprintf("%s: what %s holds expires on %s; renew it.", u.field, u.reference, day(m.Expires)))
		}
	}
	return out
}
