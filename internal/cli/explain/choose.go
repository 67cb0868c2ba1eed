package explain

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/policy"
)

// Considered is a destination of the policies that was looked at.
type Considered struct {
	Destination string   `json:"destination"`
	Policies    []string `json:"policies"` // merged, least significant first
	DryRun      bool     `json:"dryRun,omitempty"`
	Fits        bool     `json:"fits"`
	Why         string   `json:"why,omitempty"`

	binding *policy.Binding
}

// RuleSeen is a rule that was looked at.
type RuleSeen struct {
	Name string `json:"name"`
	Fits bool   `json:"fits"`
	Why  string `json:"why,omitempty"`
}

// Explanation is what would become of a call.
type Explanation struct {
	Pod  string `json:"pod"`
	Call Call   `json:"call"`
	// Governed says that a policy acts on the call.
	Governed bool   `json:"governed"`
	Why      string `json:"why,omitempty"`
	// Selected are the policies that select the pod, and Disabled those of them that are.
	Selected []string `json:"selected"`
	Disabled []string `json:"disabled,omitempty"`
	// Refused are policies that are not in force as they are written, in the pod's namespace or the cluster's.
	Refused    []string     `json:"refused,omitempty"`
	Considered []Considered `json:"considered"`
	// Connection says that the call is governed as a connection: nothing that concerns requests has an effect.
	Connection bool              `json:"connection,omitempty"`
	Rules      []RuleSeen        `json:"rules,omitempty"`
	Rule       string            `json:"rule,omitempty"`
	Fields     []effective.Field `json:"fields,omitempty"`
	// DryRun is what would govern the call if dry runs acted; empty: what governs it now.
	DryRun string   `json:"dryRun,omitempty"`
	Notes  []string `json:"notes,omitempty"`

	settings *policy.Settings
	binding  *policy.Binding
}

// Explain works out what would become of a call under what is in force for its pod.
func Explain(f *effective.InForce, c *Call, find func(string) *policy.Destination) *Explanation {
	e := &Explanation{Call: *c, Selected: []string{}, Considered: []Considered{}}
	for _, p := range f.Policies {
		e.Selected = append(e.Selected, p.ID.Kind.String()+" "+p.ID.String())
	}
	for _, p := range f.Disabled {
		e.Disabled = append(e.Disabled, p.ID.Kind.String()+" "+p.ID.String())
	}
	if f.Why != effective.Governed {
		e.Why = string(f.Why)
		return e
	}
	e.choose(f, find)
	b := e.binding
	if b == nil {
		return e
	}
	if e.leaves(b) {
		return e
	}
	e.Governed = true
	var rule *policy.Rule
	if e.Connection = e.isConnection(b); !e.Connection {
		rule = e.rule(b)
	}
	e.settings = &b.Base
	if rule != nil {
		e.Rule, e.settings = rule.Name, &rule.Settings
	}
	e.Fields = f.Fields(b, rule)
	e.conclude(b)
	return e
}

// choose finds the first destination that fits, as agents do: those that act come first, those of dry runs last.
func (e *Explanation) choose(f *effective.InForce, find func(string) *policy.Destination) {
	undecided := false
	for i := range f.Profile.Bindings {
		b := &f.Profile.Bindings[i]
		dry := b.Mode == policy.ModeDryRun
		if dry && b.Unchanged {
			continue
		}
		fit, why := fits(&b.To, &e.Call, find)
		e.Considered = append(e.Considered, Considered{effective.TargetName(&b.To), names(b.Merged), dry, fit == yes, why, b})
		switch {
		case fit == unknown:
			undecided = true
		case fit == no:
		case dry:
			if e.DryRun == "" {
				e.DryRun = fmt.Sprintf("destination %s, merged of %s", effective.TargetName(&b.To), strings.Join(names(b.Merged), ", "))
			}
		case e.binding == nil:
			if e.binding = b; undecided {
				e.Notes = append(e.Notes, "A destination by address comes before, and may govern the call: say the address with --address.")
			}
		}
	}
	if e.binding == nil {
		e.Why = "no destination of the policies that select the pod fits the call"
		if len(f.Policies) == 0 {
			e.Why = "no policy selects the pod"
		}
	}
}

func names(ids []policy.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.Kind.String() + " " + id.String()
	}
	return out
}

// leaves reports whether a destination leaves the call alone because another protocol is declared of it.
func (e *Explanation) leaves(b *policy.Binding) bool {
	p := b.To.Protocol
	spoken := "HTTP/1"
	if e.Call.HTTP2 {
		spoken = "HTTP/2"
	}
	http1, http2 := p == policy.ProtocolHTTP, p == policy.ProtocolHTTP2 || p == policy.ProtocolGRPC
	if e.Call.Opaque || e.isConnection(b) || !(e.Call.HTTP2 && http1 || !e.Call.HTTP2 && http2) {
		return false
	}
	e.Why = fmt.Sprintf("protocol %s is declared of %s, and calls over %s are left alone there", p, effective.TargetName(&b.To), spoken)
	if !e.Call.HTTP2 {
		e.Why += "; say --http2 if the pod speaks HTTP/2"
	}
	return true
}

// isConnection reports whether the call is governed as a connection, since its requests cannot be seen.
func (e *Explanation) isConnection(b *policy.Binding) bool {
	switch {
	case b.To.Protocol == policy.ProtocolTLS, b.To.Protocol == policy.ProtocolTCP, e.Call.Opaque:
		return true
	}
	return e.Call.TLS && b.To.TLS.Mode != policy.TLSIntercept
}

// rule finds the first rule that fits.
func (e *Explanation) rule(b *policy.Binding) *policy.Rule {
	var found *policy.Rule
	for i := range b.Rules {
		r := &b.Rules[i]
		if found != nil {
			e.Rules = append(e.Rules, RuleSeen{r.Name, false, "an earlier rule fits"})
			continue
		}
		why := misfit(r, &e.Call)
		if e.Rules = append(e.Rules, RuleSeen{r.Name, why == "", why}); why == "" {
			found = r
		}
	}
	return found
}

// field returns a field in force.
func (e *Explanation) field(path string) string {
	i := slices.IndexFunc(e.Fields, func(f effective.Field) bool { return f.Path == path })
	if i < 0 {
		return ""
	}
	return e.Fields[i].Value
}
