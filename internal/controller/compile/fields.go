package compile

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Field is a field of the spec of a RetryPolicy or a ClusterRetryPolicy that has a value of its own, rather than fields below it.
type Field struct {
	// Path is its place below spec, with [] behind the name of a list of blocks: retry.overrides[].when. What can stand in a rule or below
	// defaults and overrides is listed once, without that prefix.
	Path string
	// Values are those that agents act on, if others are valid too; nil if they act on all.
	Values []string
}

// Fields lists every such field of both kinds once, in the order of the API's types.
func Fields() []Field {
	var out []Field
	seen := map[string]bool{}
	for _, t := range []reflect.Type{reflect.TypeFor[v1alpha1.RetryPolicySpec](), reflect.TypeFor[v1alpha1.ClusterRetryPolicySpec]()} {
		for _, path := range fieldPaths(t, "") {
			path = strings.TrimPrefix(strings.TrimPrefix(path, "defaults."), "overrides.")
			if !seen[path] {
				seen[path] = true
				out = append(out, fieldAt(path))
			}
		}
	}
	return out
}

func fieldAt(path string) Field {
	return Field{Path: path, Values: slices.Clone(enforcedValues[path])}
}

// fieldPaths lists the paths of the fields below t.
func fieldPaths(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return fieldPaths(t.Elem(), path+"[]")
	case t.Kind() != reflect.Struct || t.NumField() == 0 || isValue(t):
		return []string{path}
	}
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && strings.HasSuffix(path, "rules[]"): // blocks in a rule are those of the policy
		case f.Anonymous:
			out = append(out, fieldPaths(f.Type, path)...)
		case path == "":
			out = append(out, fieldPaths(f.Type, name)...)
		default:
			out = append(out, fieldPaths(f.Type, path+"."+name)...)
		}
	}
	return out
}

// isValue reports whether a struct type is one value of the API rather than a block of its fields.
func isValue(t reflect.Type) bool {
	return t == reflect.TypeFor[resource.Quantity]() || t == reflect.TypeFor[intstr.IntOrString]() || t == reflect.TypeFor[metav1.LabelSelector]()
}
