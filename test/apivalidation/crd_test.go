package apivalidation

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// crd is a CRD as it is in config/crd.
type crd struct {
	kind    string
	raw     []byte
	object  apiextensionsv1.CustomResourceDefinition
	version apiextensionsv1.CustomResourceDefinitionVersion
	schema  *apiextensionsv1.JSONSchemaProps
}

func loadCRDs(t *testing.T) []crd {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(crdDir, "policy.fairlead.dev_*.yaml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("want two CRDs in %s, got %v, %v", crdDir, files, err)
	}
	var crds []crd
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := crd{raw: raw}
		if err := yaml.UnmarshalStrict(raw, &c.object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c.kind = c.object.Spec.Names.Kind
		c.version = c.object.Spec.Versions[0]
		c.schema = c.version.Schema.OpenAPIV3Schema
		crds = append(crds, c)
	}
	return crds
}

// node is a place in a schema.
type node struct {
	path   string
	schema *apiextensionsv1.JSONSchemaProps
}

// walk visits schema and everything below it, in order.
func walk(schema *apiextensionsv1.JSONSchemaProps, path string, visit func(node)) {
	visit(node{path: path, schema: schema})
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		walk(&property, path+"."+name, visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walk(schema.Items.Schema, path+"[]", visit)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		walk(schema.AdditionalProperties.Schema, path+"{}", visit)
	}
}
