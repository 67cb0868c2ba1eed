package compile

import (
	"reflect"
	"slices"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Merged returns the bodies merged in order, as the policies that they belong to are.
func Merged(bodies ...*v1alpha1.PolicyBody) *v1alpha1.PolicyBody { return merged(bodies...) }

// Settings returns the complete settings that a merged body means.
func Settings(body *v1alpha1.PolicyBody) policy.Settings { return settingsOf(body) }

// Written lists the fields that a body sets for all calls, each once and as Field.Path has them: those in rules are left out.
func Written(body *v1alpha1.PolicyBody) []string {
	if body == nil {
		return nil
	}
	all := *body
	all.Rules = nil
	var out []string
	walk(leaf{}, reflect.ValueOf(&all).Elem(), func(l leaf) {
		if !slices.Contains(out, l.path) {
			out = append(out, l.path)
		}
	})
	return out
}
