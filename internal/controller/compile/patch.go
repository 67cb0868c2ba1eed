package compile

import (
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// merged returns the bodies merged in order, later over earlier, as RFC 7386 merge patches: fields that are set replace,
// lists replace as a whole, blocks merge field by field, absent fields inherit. The arguments stay as they are.
func merged(bodies ...*v1alpha1.PolicyBody) *v1alpha1.PolicyBody {
	out := &v1alpha1.PolicyBody{}
	for _, b := range bodies {
		if b != nil {
			patch(reflect.ValueOf(out).Elem(), reflect.ValueOf(b).Elem())
		}
	}
	return out
}

// patchedBlocks returns base with the blocks of a rule merged over it.
func patchedBlocks(base, rule v1alpha1.CallBlocks) v1alpha1.CallBlocks {
	patch(reflect.ValueOf(&base).Elem(), reflect.ValueOf(&rule).Elem())
	return base
}

// patch merges struct src over struct dst. What dst points to is replaced, never written to, because merges share it.
func patch(dst, src reflect.Value) {
	for i := range src.NumField() {
		d, s := dst.Field(i), src.Field(i)
		switch {
		case s.Kind() == reflect.Struct:
			patch(d, s)
		case s.IsZero(): // absent: inherit. An empty list is not zero and replaces.
		case isBlock(s.Type()):
			d.Set(patchBlock(d, s))
		default:
			d.Set(s)
		}
	}
}

// patchBlock returns block src merged over block dst, either of which may be nil. A block that is switched off forgets what
// earlier policies set, and one that is written again afterwards starts anew.
func patchBlock(dst, src reflect.Value) reflect.Value {
	if dst.IsNil() || whole[dst.Type()] || switchOf(src) == v1alpha1.SwitchDisabled || switchOf(dst) == v1alpha1.SwitchDisabled {
		return src
	}
	out := reflect.New(dst.Type().Elem())
	out.Elem().Set(dst.Elem())
	clearAlternatives(out.Elem(), src.Elem())
	patch(out.Elem(), src.Elem())
	return out
}

// whole are blocks that mean one thing together: a later one replaces an earlier one as it is.
var whole = map[reflect.Type]bool{
	reflect.TypeFor[*v1alpha1.FallbackDestination](): true,
	reflect.TypeFor[*v1alpha1.Faults]():              true, // what it injects ends when it says
}

// alternatives are fields of blocks of which one at most is set: a later one replaces those of earlier policies.
var alternatives = map[reflect.Type][]string{
	reflect.TypeFor[v1alpha1.Fallback]():    {"Response", "Destination"},
	reflect.TypeFor[v1alpha1.Concurrency](): {"Max", "Adaptive"},
	reflect.TypeFor[v1alpha1.Hedging]():     {"Delay", "Percentile"},
}

// clearAlternatives clears the fields of block dst that one of block src stands in for.
func clearAlternatives(dst, src reflect.Value) {
	names := alternatives[dst.Type()]
	for _, name := range names {
		if src.FieldByName(name).IsZero() {
			continue
		}
		for _, other := range names {
			if other != name {
				dst.FieldByName(other).SetZero()
			}
		}
	}
}

// switchOf returns the block's mode, or "" if it has none.
func switchOf(block reflect.Value) v1alpha1.Switch {
	if f := block.Elem().FieldByName("Mode"); f.IsValid() && f.Type() == reflect.TypeFor[v1alpha1.Switch]() {
		return v1alpha1.Switch(f.String())
	}
	return ""
}

// isBlock reports whether t points to a struct of fields, rather than to a value.
func isBlock(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && t.Elem() != reflect.TypeFor[resource.Quantity]()
}

// overlapField reports whether both values set something in common, so that the one merged later replaces something of the other.
func overlapField(a, b reflect.Value) bool {
	switch {
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			if overlapField(a.Field(i), b.Field(i)) {
				return true
			}
		}
		return false
	case a.IsZero() || b.IsZero():
		return false
	case !isBlock(a.Type()), switchOf(a) == v1alpha1.SwitchDisabled, switchOf(b) == v1alpha1.SwitchDisabled:
		return true
	}
	return overlapField(a.Elem(), b.Elem())
}
