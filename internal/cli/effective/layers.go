package effective

import (
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// Layer is a part of what is merged: the body of a policy, or a rule of it.
type Layer struct {
	Policy policy.ID
	Level  compile.Level
	Rule   string
	Body   *v1alpha1.PolicyBody

	place int // among the layers
}

// String says where a setting comes from.
func (l *Layer) String() string {
	s := l.Policy.Kind.String() + " " + l.Policy.String()
	switch l.Level {
	case compile.LevelDefaults:
		s += " (default)"
	case compile.LevelOverrides:
		s += " (override)"
	case compile.LevelNamespace, compile.LevelPods:
	}
	if l.Rule != "" {
		return "rule " + l.Rule + " of " + s
	}
	return s
}

// Layers returns what a binding's settings are merged of, least significant first: those of its base, or of one of its rules.
func (f *InForce) Layers(b *policy.Binding, rule *policy.Rule) []Layer {
	var out []Layer
	last := -1 // whose rules they are
	for _, id := range b.Merged {
		i := slices.IndexFunc(f.Policies, func(p *compile.Policy) bool { return p.ID == id })
		if i < 0 {
			continue
		}
		p := f.Policies[i]
		if p.Body != nil && p.Body.Rules != nil {
			last = len(out)
		}
		out = append(out, Layer{Policy: id, Level: p.Level, Body: p.Body})
	}
	if rule == nil || last < 0 {
		return out
	}
	of := out[last]
	i := slices.IndexFunc(of.Body.Rules, func(r v1alpha1.Rule) bool { return r.Name == rule.Name })
	if i < 0 {
		return out
	}
	// What later policies set replaces what a rule sets, so that a rule cannot undo an override.
	of.Rule, of.Body = rule.Name, &v1alpha1.PolicyBody{CallBlocks: of.Body.Rules[i].CallBlocks}
	return slices.Insert(out, last+1, of)
}

// The sources of settings that no layer sets.
const (
	// BuiltIn is fairlead's own default.
	BuiltIn = "built-in default"
	// Derived: it follows from other settings.
	Derived = "follows from other fields"
)

// sources returns the layer that each field of the merge comes from, by the field's path.
func sources(layers []Layer) map[string]*Layer {
	out := map[string]*Layer{}
	var bodies []*v1alpha1.PolicyBody
	for i := range layers {
		layers[i].place = i
		bodies = append(bodies, layers[i].Body)
		for _, path := range compile.Written(layers[i].Body) {
			out[path] = &layers[i]
		}
		// A block that is switched off forgets what earlier policies set, and of alternatives one is left.
		left := compile.Written(compile.Merged(bodies...))
		for path := range out {
			if !slices.Contains(left, path) {
				delete(out, path)
			}
		}
	}
	return out
}

// Field is a field of the API that settles something for a call, its value in force, and where that comes from.
type Field struct {
	Path   string `json:"field"`
	Value  string `json:"value"`
	Source string `json:"source"`
	// Default says that no policy has set it.
	Default bool `json:"-"`
}

// Fields returns the settings in force of a binding for the calls that fit a rule, or no rule if that is nil, with the source of each.
func (f *InForce) Fields(b *policy.Binding, rule *policy.Rule) []Field {
	settings := &b.Base
	if rule != nil {
		settings = &rule.Settings
	}
	out := fields(settings, f.Layers(b, rule))
	if rule == nil {
		out = append(out, f.connectionFields(b)...)
	}
	return out
}

// connectionFields are those that are about connections, whatever they carry, and that no rule can set.
func (f *InForce) connectionFields(b *policy.Binding) []Field {
	from := sources(f.Layers(b, nil))
	failure, quic := v1alpha1.FailurePolicyOpen, v1alpha1.UDP443Allow
	if f.Profile.FailClosed {
		failure = v1alpha1.FailurePolicyClosed
	}
	if b.RejectQUIC {
		quic = v1alpha1.UDP443Reject
	}
	out := []Field{{Path: "failurePolicy", Value: string(failure)}, {Path: "udp443", Value: string(quic)}}
	for i := range out {
		if l := from[out[i].Path]; l != nil {
			out[i].Source = l.String()
		} else {
			out[i].Source, out[i].Default = BuiltIn, true
		}
	}
	if f.Profile.FailClosed && out[0].Default {
		out[0].Source, out[0].Default = "another policy of the pod", false // one that is closed closes it for all
	}
	return out
}

func fields(settings *policy.Settings, layers []Layer) []Field {
	from := sources(layers)
	defaults := map[string]string{}
	builtin := policy.Defaults()
	for _, r := range rows(&builtin) {
		defaults[r.path] = r.value
	}
	var out []Field
	for _, r := range rows(settings) {
		field := Field{Path: r.path, Value: r.value}
		switch l := setBy(from, r.path); {
		case l != nil:
			field.Source = l.String()
		case defaults[r.path] == r.value || r.builtin == r.value:
			field.Source, field.Default = BuiltIn, true
		default:
			field.Source, field.Default = Derived, true
		}
		out = append(out, field)
	}
	return out
}

// setBy returns the most significant layer that sets a field, or fields below it.
func setBy(from map[string]*Layer, path string) *Layer {
	if l := from[path]; l != nil {
		return l
	}
	var found *Layer
	for p, l := range from {
		if strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
			if found == nil || l.place > found.place {
				found = l
			}
		}
	}
	return found
}
