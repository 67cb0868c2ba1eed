package compile

import (
	"os"
	"testing"

	"sigs.k8s.io/yaml"
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
