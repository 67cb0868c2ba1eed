package diff

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/policy"
)

// What a change is.
const (
	governed   = "governed"
	ungoverned = "no longer governed"
	altered    = "changed"
)

// part is a destination, or a rule of one, and the fields in force for it.
type part struct {
	destination, rule string
	fields            []effective.Field
}

// partsOf lists what is in force for a pod, destination by destination.
func partsOf(f *effective.InForce) []part {
	var out []part
	for i := range f.Profile.Bindings {
		b := &f.Profile.Bindings[i]
		if b.Mode == policy.ModeDryRun && b.Unchanged {
			continue
		}
		name := effective.TargetName(&b.To)
		if b.Mode == policy.ModeDryRun {
			name += " (dry run)"
		}
		out = append(out, part{name, "", append(f.Fields(b, nil), targetFields(b)...)})
		for j := range b.Rules {
			r := &b.Rules[j]
			fields := append(f.Fields(b, r), effective.Field{Path: "match", Value: fmt.Sprintf("%+v", r.Match), Source: "rule"})
			out = append(out, part{name, r.Name, fields})
		}
	}
	return out
}

// targetFields are what a binding says of its destination besides settings.
func targetFields(b *policy.Binding) []effective.Field {
	via := "none"
	if b.To.Via.Host != "" {
		via = fmt.Sprintf("%s:%d", b.To.Via.Host, b.To.Via.Port)
	}
	out := []effective.Field{
		{Path: "to.protocol", Value: b.To.Protocol.String()}, {Path: "to.tls.mode", Value: b.To.TLS.Mode.String()}, {Path: "to.via", Value: via},
	}
	for i := range out {
		out[i].Source = b.Policy.Kind.String() + " " + b.Policy.String()
	}
	return out
}

// comparePod returns what changes for a pod.
func comparePod(was, will *effective.InForce) (out []Change) {
	before, after := partsOf(was), partsOf(will)
	find := func(list []part, p part) int {
		return slices.IndexFunc(list, func(o part) bool { return o.destination == p.destination && o.rule == p.rule })
	}
	for _, p := range after {
		i := find(before, p)
		if i < 0 {
			out = append(out, Change{Destination: p.destination, Rule: p.rule, What: governed, Fields: set(p.fields)})
			continue
		}
		if fields := compareFields(before[i].fields, p.fields); len(fields) > 0 {
			out = append(out, Change{Destination: p.destination, Rule: p.rule, What: altered, Fields: fields})
		}
	}
	for _, p := range before {
		if find(after, p) < 0 {
			out = append(out, Change{Destination: p.destination, Rule: p.rule, What: ungoverned})
		}
	}
	return out
}

// set lists the fields that are not built-in defaults.
func set(fields []effective.Field) (out []Field) {
	for _, f := range fields {
		if !f.Default && !strings.HasPrefix(f.Path, "to.") && f.Path != "match" {
			out = append(out, Field{f.Path, "", f.Value, f.Source})
		}
	}
	return out
}

func compareFields(before, after []effective.Field) (out []Field) {
	value := func(list []effective.Field, path string) (string, bool) {
		i := slices.IndexFunc(list, func(f effective.Field) bool { return f.Path == path })
		if i < 0 {
			return "", false
		}
		return list[i].Value, true
	}
	for _, f := range after {
		if was, there := value(before, f.Path); was != f.Value || !there {
			out = append(out, Field{f.Path, was, f.Value, f.Source})
		}
	}
	for _, f := range before {
		if _, there := value(after, f.Path); !there {
			out = append(out, Field{f.Path, f.Value, "", "was " + f.Source})
		}
	}
	return out
}

func (d *Difference) print(w io.Writer) {
	for _, r := range d.Refused {
		fmt.Fprintf(w, "! would not be in force as written: %s\n", output.Text(r))
	}
	if !d.differs() {
		fmt.Fprintln(w, "Nothing would be altered.")
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		fmt.Fprintf(w, "%s: %s\n", output.Text(c.name()), c.What)
		fmt.Fprintf(w, "  %s\n", output.Text(c.pods()))
		if len(c.Fields) > 0 {
			t := output.Table{Columns: output.Columns("  FIELD", "BEFORE", "AFTER", "SOURCE")}
			for _, f := range c.Fields {
				t.Rows = append(t.Rows, output.Row{Cells: []string{"  " + f.Path, f.Before, f.After, f.Source}})
			}
			_ = t.Print(w, true, true)
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintln(w, output.Text(n))
	}
}

func (c *Change) name() string {
	if c.Rule != "" {
		return c.Destination + ", rule " + c.Rule
	}
	return c.Destination
}

func (c *Change) pods() string {
	s := fmt.Sprintf("%d pods: %s", c.AllPods, strings.Join(c.Pods, ", "))
	if more := c.AllPods - len(c.Pods); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
