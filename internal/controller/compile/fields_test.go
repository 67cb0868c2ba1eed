package compile

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The list is made from the Go types; what users can write is in the CRDs. Both must have the same fields, each once.
func TestFieldsAreThoseOfTheCRDs(t *testing.T) {
	want := map[string]struct{}{}
	for _, plural := range []string{"retrypolicies", "clusterretrypolicies"} {
		fieldsOf(t, plural, func(path string, s schema) {
			inSelector := strings.HasPrefix(path, "podSelector.") || strings.HasPrefix(path, "namespaceSelector.")
			_, selector := s.Properties["matchLabels"]
			block := len(s.Properties) > 0 || s.Items != nil && len(s.Items.Properties) > 0
			if !inSelector && (selector || !block) {
				want[path] = struct{}{}
			}
		})
	}
	var got []string
	for _, f := range Fields() {
		got = append(got, f.Path)
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
		t.Errorf("fields (-in the CRDs +listed):\n%s", diff)
	}
}
