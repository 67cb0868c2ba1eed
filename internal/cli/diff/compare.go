package diff

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

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
	settings          *policy.Settings
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
		out = append(out, part{name, "", append(f.Fields(b, nil), targetFields(b)...), &b.Base})
		for j := range b.Rules {
			r := &b.Rules[j]
			fields := append(f.Fields(b, r), effective.Field{Path: "match", Value: fmt.Sprintf("%+v", r.Match), Source: "rule"})
			out = append(out, part{name, r.Name, fields, &r.Settings})
		}
	}
	return out
}

// targetFields are what a binding says of its destination besides settings.
func targetFields(b *policy.Binding) []effective.Field {
	t, via, forced := &b.To.TLS, "", ""
	if b.To.Via.Host != "" {
		via = fmt.Sprintf("%s:%d", b.To.Via.Host, b.To.Via.Port)
	}
	if f := b.ForcedBreaker; f.Set() {
		forced = fmt.Sprintf("%s until %s", map[bool]string{true: "open", false: "closed"}[f.Open], f.End().Format(time.RFC3339))
	}
	out := []effective.Field{
		{Path: "to.protocol", Value: b.To.Protocol.String()}, {Path: "to.tls.mode", Value: t.Mode.String()},
		{Path: "to.tls.port", Value: orNone(strings.TrimPrefix(strconv.Itoa(int(t.Port)), "0"))}, {Path: "to.tls.sni", Value: orNone(t.ServerName)},
		{Path: "to.tls.caBundleRef", Value: orNone(t.Roots)}, {Path: "to.tls.clientCertificateRef", Value: orNone(t.Certificate)},
		{Path: "to.tls.passthroughAfter", Value: strconv.Itoa(t.PassAfter)},
		{Path: "to.cidr.except", Value: orNone(strings.Trim(fmt.Sprint(b.To.Except), "[]"))}, {Path: "to.via", Value: orNone(via)}, {Path: "to.via.credentialsRef", Value: orNone(b.To.Via.Credentials)},
		{Path: "annotation of its circuit breaker", Value: orNone(forced)},
	}
	out[len(out)-1].Default = forced == ""
	for i := range out {
		out[i].Source = b.Policy.Kind.String() + " " + b.Policy.String()
	}
	return out
}

func orNone(s string) string { return cmp.Or(s, "none") }

// comparePod returns what changes for a pod.
func comparePod(was, will *effective.InForce) (out []Change) {
	before, after := partsOf(was), partsOf(will)
	find := func(list []part, p part) int {
		return slices.IndexFunc(list, func(o part) bool { return o.destination == p.destination && o.rule == p.rule })
	}
	var ofAll []Field
	for _, p := range after {
		i := find(before, p)
		if i < 0 {
			out = append(out, Change{Destination: p.destination, Rule: p.rule, What: governed, Fields: set(p.fields)})
			continue
		}
		fields := append(compareFields(before[i].fields, p.fields), compareContent(&before[i], &p)...)
		if p.rule == "" {
			ofAll = slices.Clone(fields)
			fields = append(fields, reordered(before, after, p.destination)...)
		} else { // of a rule, what differs from what changes for all calls
			fields = slices.DeleteFunc(fields, func(f Field) bool { return slices.Contains(ofAll, f) })
		}
		if len(fields) > 0 {
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

// reordered shows the rules that there are before and after if they come in another order: the first that fits counts.
func reordered(before, after []part, destination string) []Field {
	names := func(list, others []part) (out []string) {
		for _, p := range list {
			if p.destination == destination && p.rule != "" &&
				slices.ContainsFunc(others, func(o part) bool { return o.destination == destination && o.rule == p.rule }) {
				out = append(out, p.rule)
			}
		}
		return out
	}
	was, will := names(before, after), names(after, before)
	if slices.Equal(was, will) {
		return nil
	}
	return []Field{{"order of rules", strings.Join(was, ", "), strings.Join(will, ", "), "rules"}}
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
	// Of a block that is switched on or off, what it has by default says nothing.
	for _, f := range after {
		if was, there := value(before, f.Path); there && was != f.Value || !there && (!f.Default || f.Value == "off") {
			out = append(out, Field{f.Path, was, f.Value, f.Source})
		}
	}
	for _, f := range before {
		if _, there := value(after, f.Path); !there && !f.Default {
			out = append(out, Field{f.Path, f.Value, "", "was " + f.Source})
		}
	}
	return out
}

// compareContent shows what differs although its fields, which sum it up, read the same.
func compareContent(before, after *part) (out []Field) {
	was, will := before.settings, after.settings
	for _, c := range []struct {
		path string
		same bool
	}{
		{"fallback.response", reflect.DeepEqual(responseOf(was), responseOf(will))},
		{"retry.overrides", reflect.DeepEqual(was.Retry.Overrides, will.Retry.Overrides)},
	} {
		i := slices.IndexFunc(after.fields, func(f effective.Field) bool { return f.Path == c.path })
		j := slices.IndexFunc(before.fields, func(f effective.Field) bool { return f.Path == c.path })
		if !c.same && i >= 0 && j >= 0 && before.fields[j].Value == after.fields[i].Value {
			f := &after.fields[i]
			out = append(out, Field{c.path, f.Value, f.Value + ", with another content", f.Source})
		}
	}
	return out
}

func responseOf(s *policy.Settings) *policy.FallbackResponse {
	if s.Fallback == nil {
		return nil
	}
	return s.Fallback.Response
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
	s := fmt.Sprintf("%s: %s", output.Count(c.AllPods, "pod", "pods"), strings.Join(c.Pods, ", "))
	if more := c.AllPods - len(c.Pods); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
