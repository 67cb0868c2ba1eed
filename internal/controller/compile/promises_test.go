package compile

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// schema is as much of a CRD's schema as these tests read.
type schema struct {
	Description string            `json:"description"`
	Enum        []string          `json:"enum"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
}

// walk calls visit for every field below s, by its path as the table writes it: without rules[], defaults and overrides in front of
// what is the policy's own elsewhere.
func (s *schema) walk(path string, visit func(path string, s schema)) {
	for name, field := range s.Properties {
		at := name
		switch path {
		case "", "defaults", "overrides":
		case "rules[]":
			if name == "name" || name == "match" {
				at = "rules[]." + name
			}
		default:
			at = path + "." + name
		}
		if field.Items != nil {
			visit(at, field)
			field.Items.walk(at+"[]", visit)
			continue
		}
		visit(at, field)
		field.walk(at, visit)
	}
}

// fieldsOf returns the fields of spec that the CRD documents.
func fieldsOf(t *testing.T, plural string, visit func(path string, s schema)) {
	t.Helper()
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	text, err := os.ReadFile("../../../config/crd/policy.fairlead.dev_" + plural + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	spec.walk("", visit)
}

// missing returns what the table says is not enforced: fields, and single values as "field: Value".
func missing(t *testing.T) map[string]struct{} {
	t.Helper()
	out := map[string]struct{}{}
	for _, f := range notEnforced {
		out[f] = struct{}{}
	}
	fieldsOf(t, "retrypolicies", func(path string, s schema) {
		values, limited := enforcedValues[path]
		if !limited {
			return
		}
		for _, v := range s.Enum {
			// What is passed through by its nature is no promise of a later version.
			opaque := strings.HasSuffix(path, "protocol") && slices.Contains([]v1alpha1.Protocol{v1alpha1.ProtocolTLS, v1alpha1.ProtocolTCP}, v1alpha1.Protocol(v))
			if !slices.Contains(values, v) && !opaque {
				out[path+": "+v] = struct{}{}
			}
		}
	})
	return out
}

var listed = regexp.MustCompile("(?m)^- `([^`]+)`")

// The page tells users what they would else find out by trying.
func TestThePageListsWhatIsNotEnforced(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Not enforced by this version\n")
	if !found {
		t.Fatal("docs/operations.md has no section \"Not enforced by this version\"")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string]struct{}{}
	for _, m := range listed.FindAllStringSubmatch(section, -1) {
		got[m[1]] = struct{}{}
	}
	if diff := cmp.Diff(missing(t), got); diff != "" {
		t.Errorf("the list in docs/operations.md is not that of enforced.go (-want +got):\n%s", diff)
	}
}

// kubectl explain says so too, for these fields and no others.
func TestFieldsSayThatTheyAreNotEnforced(t *testing.T) {
	want := map[string]struct{}{}
	for entry := range missing(t) {
		field, _, _ := strings.Cut(entry, ":")
		want[field] = struct{}{}
	}
	for _, plural := range []string{"retrypolicies", "clusterretrypolicies"} {
		got := map[string]struct{}{}
		fieldsOf(t, plural, func(path string, s schema) {
			text := strings.Join(strings.Fields(s.Description), " ")
			if !strings.Contains(text, "ot enforced by this version: accepted and listed by PartiallyEnforced.") {
				return
			}
			got[path] = struct{}{}
			for entry := range missing(t) {
				if value, ok := strings.CutPrefix(entry, path+": "); ok && !strings.Contains(text, value) {
					t.Errorf("%s: the description of %s does not name %s", plural, path, value)
				}
			}
		})
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s: fields described as not enforced (-want +got):\n%s", plural, diff)
		}
	}
}
