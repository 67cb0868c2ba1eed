package compile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func matchesOf(in []v1alpha1.CallMatch) []policy.RequestMatch {
	var out []policy.RequestMatch
	for i := range in {
		out = append(out, matchOf(&in[i]))
	}
	return out
}

func matchOf(in *v1alpha1.CallMatch) policy.RequestMatch {
	m := policy.RequestMatch{Methods: in.Methods, Host: string(in.Host)}
	for i := range in.Headers {
		m.Headers = append(m.Headers, requestHeaderOf(&in.Headers[i]))
	}
	if g := in.GRPC; g != nil {
		m.PathType, m.Path = policy.PathGRPC, cmp.Or(g.Service, "*")+"/"+cmp.Or(g.Method, "*")
	}
	if in.Path != nil {
		m.PathType, m.Path = pathTypeOf(in.Path.Type), in.Path.Value
	}
	return m
}

func pathTypeOf(t v1alpha1.PathMatchType) policy.PathMatch {
	switch t {
	case v1alpha1.PathExact:
		return policy.PathExact
	case v1alpha1.PathRegularExpression:
		return policy.PathRegularExpression
	case v1alpha1.PathPrefix:
	}
	return policy.PathPrefix
}

func requestHeaderOf(in *v1alpha1.RequestHeaderMatch) policy.RequestHeader {
	h := policy.RequestHeader{Name: strings.ToLower(string(in.Name)), Value: in.Value}
	switch {
	case in.Value == "":
		h.Type = policy.ValueAny
	case in.Type == v1alpha1.HeaderPrefix:
		h.Type = policy.ValuePrefix
	case in.Type == v1alpha1.HeaderRegularExpression:
		h.Type = policy.ValueRegularExpression
	default:
		h.Type = policy.ValueExact
	}
	return h
}

// maxPatterns is how many instructions the regular expressions of a policy may have together, which bounds what a request costs that meets
// all of them.
const maxPatterns = 4 * policy.MaxPatternSize

// readPatterns says what is wrong with the regular expressions of a policy.
func (p *Policy) readPatterns() (problems []Problem) {
	size := 0
	p.eachPattern(func(field, expr string) {
		pattern, err := policy.CompilePattern(expr)
		if err != nil {
			problems = append(problems, Problem{v1alpha1.ReasonInvalid, fmt.Sprintf("%s: %v.", p.field(field), err)})
			return
		}
		size += pattern.Size()
	})
	if size > maxPatterns {
		problems = append(problems, Problem{v1alpha1.ReasonInvalid, fmt.Sprintf(
			"The regular expressions in rules make %d instructions, and at most %d are allowed: write fewer, or match prefixes.", size, maxPatterns)})
	}
	return problems
}

// eachPattern calls f with the regular expressions of a policy, and the fields that they stand in.
func (s *Source) eachPattern(f func(field, expr string)) {
	if s.Body == nil {
		return
	}
	for i := range s.Body.Rules {
		r := &s.Body.Rules[i]
		for j := range r.Match {
			m, at := &r.Match[j], fmt.Sprintf("rules[%s].match[%d]", r.Name, j)
			if m.Path != nil && m.Path.Type == v1alpha1.PathRegularExpression {
				f(at+".path.value", m.Path.Value)
			}
			for k := range m.Headers {
				if h := &m.Headers[k]; h.Type == v1alpha1.HeaderRegularExpression {
					f(fmt.Sprintf("%s.headers[%d].value", at, k), h.Value)
				}
			}
		}
	}
}

// matchWarnings says which matches of rules no call can fit.
func matchWarnings(src *Source) (warnings []string) {
	src.eachPattern(func(field, expr string) {
		if !strings.HasSuffix(field, ".path.value") {
			return
		}
		if re, err := regexp.Compile(expr); err == nil {
			if prefix, _ := re.LiteralPrefix(); prefix != "" && prefix[0] != '/' {
				warnings = append(warnings, fmt.Sprintf("%s %q fits no path: it is compared with the whole path, which starts with a slash.", field, expr))
			}
		}
	})
	for i := range src.Body.Rules {
		r := &src.Body.Rules[i]
		for j := range r.Match {
			if host := r.Match[j].Host; host != "" && src.namesOtherHosts(string(host)) {
				warnings = append(warnings, fmt.Sprintf("rules[%s].match[%d].host %s is none of the hosts in to, so no call fits it.", r.Name, j, host))
			}
		}
	}
	return warnings
}

// namesOtherHosts reports whether the destinations are all hosts, and none of them can be one that host means.
func (s *Source) namesOtherHosts(host string) bool {
	return !slices.ContainsFunc(s.To, func(d v1alpha1.Destination) bool {
		return d.Host == "" || overlaps(host, string(d.Host)) || overlaps(string(d.Host), host)
	})
}

// overlaps reports whether a pattern of hosts means a name that another pattern, or name, means too, if that is not the longer one.
func overlaps(pattern, other string) bool {
	if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(other, suffix) && len(other) > len(suffix)
	}
	return pattern == other
}
