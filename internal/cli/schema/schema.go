// Package schema checks policies by the schema and the rules of their CustomResourceDefinition, as the API server does and with its sentences, without one.
//
// What an API server of another version would say may be worded otherwise.
package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/config/crd"
)

const group = "policy.fairlead.dev"

// Checker checks policies. It is safe for concurrent use, and reads the definition of a kind when the first policy of it comes.
type Checker struct {
	kinds map[string]func() (*kind, error)
}

// New returns a Checker.
func New() *Checker {
	return &Checker{map[string]func() (*kind, error){
		"RetryPolicy":        sync.OnceValues(func() (*kind, error) { return read("policy.fairlead.dev_retrypolicies.yaml") }),
		"ClusterRetryPolicy": sync.OnceValues(func() (*kind, error) { return read("policy.fairlead.dev_clusterretrypolicies.yaml") }),
	}}
}

// kind is what the API server makes of a definition.
type kind struct {
	namespaced bool
	structural *structural.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

func read(name string) (*kind, error) {
	text, err := fs.ReadFile(crd.Files, name)
	if err != nil {
		return nil, fmt.Errorf("read the definition %s: %w", name, err)
	}
	var v1 apiextensionsv1.CustomResourceDefinition
	var d apiextensions.CustomResourceDefinition
	if err := errors.Join(yaml.Unmarshal(text, &v1), apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&v1, &d, nil)); err != nil {
		return nil, fmt.Errorf("read the definition %s: %w", name, err)
	}
	of, err := apiextensions.GetSchemaForVersion(&d, v1.Spec.Versions[0].Name)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	s, err := structural.NewStructural(of.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	values, _, err := validation.NewSchemaValidator(of.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	return &kind{v1.Spec.Scope == apiextensionsv1.NamespaceScoped, s, values, cel.NewValidator(s, true, celconfig.PerCallLimit)}, nil
}

// Document checks a document, in YAML or JSON, that is of a kind. Fields that the kind does not have are not looked at; nor is anything of another kind.
func (c *Checker) Document(kind string, document []byte) error {
	u := &unstructured.Unstructured{}
	text, err := yaml.YAMLToJSON(document)
	if err == nil {
		err = json.Unmarshal(text, &u.Object)
	}
	if err != nil {
		return fmt.Errorf("this is not YAML: %w", err)
	}
	u.SetKind(kind)
	return c.Check(u)
}

// Check checks a policy, to which defaults are added; objects of other kinds are not looked at. Where it has no namespace and needs one, that is not said: who applies it says it then.
func (c *Checker) Check(u *unstructured.Unstructured) error {
	find, ok := c.kinds[u.GetKind()]
	if !ok || u.GroupVersionKind().Group != group {
		return nil
	}
	k, err := find()
	if err != nil {
		return err
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(u.Object, k.structural)
	defaulting.Default(u.Object, k.structural)
	if all := k.check(u); len(all) > 0 {
		// Rules are asked in no order.
		slices.SortStableFunc(all, func(a, b *field.Error) int { return strings.Compare(a.Error(), b.Error()) })
		return apierrors.NewInvalid(schema.GroupKind{Group: group, Kind: u.GetKind()}, u.GetName(), all)
	}
	return nil
}

// All checks the policies among objects, and returns what is wrong with each.
func (c *Checker) All(objects []*unstructured.Unstructured) error {
	var all []error
	for _, u := range objects {
		all = append(all, c.Check(u.DeepCopy()))
	}
	return errors.Join(all...)
}

// check does what the API server does when an object is created, in its order.
func (k *kind) check(u *unstructured.Unstructured) (all field.ErrorList) {
	if k.namespaced && u.GetNamespace() == "" {
		u.SetNamespace("default")
	}
	all = append(all, apivalidation.ValidateObjectMetaAccessor(u, k.namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))...)
	all = append(all, validation.ValidateCustomResource(nil, u.Object, k.values)...)
	all = append(all, listtype.ValidateListSetsAndMaps(nil, k.structural, u.Object)...)
	if blocked(all) {
		return append(all, field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"))
	}
	broken, _ := k.rules.Validate(context.Background(), nil, k.structural, u.Object, nil, celconfig.RuntimeCELCostBudget)
	return append(all, broken...)
}

// blocking are the kinds of errors with which values are such that rules cannot be asked about them, as the API server has it. It is never written to.
var blocking = []field.ErrorType{
	field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid,
}

func blocked(all field.ErrorList) bool {
	return slices.ContainsFunc(all, func(e *field.Error) bool { return slices.Contains(blocking, e.Type) })
}
