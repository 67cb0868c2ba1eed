package apivalidation

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// imported reports whether a place in the schema comes from apimachinery, whose
// words and bounds are not ours. Selectors are bounded by rules instead.
func imported(path string) bool {
	return strings.Contains(path, "Selector.") || strings.Contains(path, ".conditions[]") ||
		slices.Contains([]string{"", ".apiVersion", ".kind", ".metadata"}, path)
}

// lint runs check on every place of ours in every schema; what it returns is an
// error of the schema.
func lint(t *testing.T, check func(node) string) {
	t.Helper()
	for _, c := range loadCRDs(t) {
		visited := 0
		walk(c.schema, "", func(n node) {
			if imported(n.path) {
				return
			}
			visited++
			if problem := check(n); problem != "" {
				t.Errorf("%s%s: %s", c.kind, n.path, problem)
			}
		})
		if visited < 200 {
			t.Errorf("%s: only %d places visited", c.kind, visited)
		}
	}
}

func TestSchemaStringsAreBounded(t *testing.T) {
	lint(t, func(n node) string {
		s := n.schema
		text := s.Type == "string" || s.XIntOrString
		switch {
		case !text || len(s.Enum) > 0 || s.Format == "date-time":
			return ""
		case s.MaxLength == nil:
			return "string without maxLength or enum"
		case s.MinLength == nil && !hasForm(s) && strings.HasPrefix(n.path, ".spec"):
			return "string without minLength, pattern or a rule on its form"
		}
		return ""
	})
}

// hasForm reports whether a pattern, or a rule with a sentence, says what a string looks like from end to end.
func hasForm(s *apiextensionsv1.JSONSchemaProps) bool {
	return s.Pattern != "" || slices.ContainsFunc(s.XValidations, func(v apiextensionsv1.ValidationRule) bool {
		return strings.Contains(v.Rule, "self.matches('^")
	})
}

func TestSchemaListsAreBounded(t *testing.T) {
	lint(t, func(n node) string {
		s := n.schema
		switch {
		case s.Type != "array":
			return ""
		case s.MaxItems == nil:
			return "list without maxItems"
		case s.XListType == nil:
			return "list without x-kubernetes-list-type"
		case *s.XListType == "map" && len(s.XListMapKeys) == 0:
			return "list of type map without keys"
		case s.MinItems == nil && strings.HasPrefix(n.path, ".spec") && !strings.Contains(s.Description, "empty"):
			return "list that may be empty, and the description does not say what that means"
		}
		return ""
	})
}

func TestSchemaIsDescribed(t *testing.T) {
	lint(t, func(n node) string {
		name := n.path[strings.LastIndex(n.path, ".")+1:]
		switch {
		case strings.HasSuffix(n.path, "[]"):
			return ""
		case n.schema.Description == "":
			return "no description"
		case !strings.HasPrefix(n.schema.Description, name+" "):
			return "the description does not start with the field's name"
		}
		return ""
	})
}

// Levels merge, so unset must stay distinguishable from set; numbers are
// integers; maps and booleans are where the design says.
func TestSchemaKeepsConventions(t *testing.T) {
	booleans := regexp.MustCompile(`\.(retryAfter\.honor|idempotency\.generateKey|avoidPreviousEndpoints|requestHeaders\.attempt)$`)
	lint(t, func(n node) string {
		s := n.schema
		switch {
		case s.Default != nil:
			return "has a default"
		case s.Type == "number":
			return "is a float"
		case s.Type == "boolean" && !booleans.MatchString(n.path):
			return "is a boolean: use an enum, for a third value may come"
		case s.AdditionalProperties != nil:
			return "is a map"
		case s.XPreserveUnknownFields != nil:
			return "accepts unknown fields"
		case s.Type == "integer" && (s.Minimum == nil || s.Maximum == nil && strings.HasPrefix(n.path, ".spec")):
			return "integer without bounds"
		}
		return ""
	})
}

// kubectl reads manifests as YAML 1.1, where these words are not strings.
func TestSchemaHasNoWordsThatYAMLReadsOtherwise(t *testing.T) {
	other := []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
	lint(t, func(n node) string {
		for name := range n.schema.Properties {
			if slices.Contains(other, strings.ToLower(name)) {
				return "field " + name + " is not a string in YAML 1.1"
			}
		}
		for _, value := range n.schema.Enum {
			if slices.Contains(other, strings.ToLower(strings.Trim(string(value.Raw), `"`))) {
				return "value " + string(value.Raw) + " is not a string in YAML 1.1"
			}
		}
		return ""
	})
}

func TestSchemaEnumsAreCamelCase(t *testing.T) {
	camel, grpc := regexp.MustCompile(`^"([A-Z][a-z0-9]*|[A-Z]+[a-z]*)+"$`), regexp.MustCompile(`(?i)grpcStatus(es\[\])?$`)
	lint(t, func(n node) string {
		for _, value := range n.schema.Enum {
			if !camel.Match(value.Raw) && !grpc.MatchString(n.path) {
				return "value " + string(value.Raw) + " is not CamelCase"
			}
		}
		return ""
	})
}

func TestSchemaRulesSayWhatToWrite(t *testing.T) {
	messages := map[string]string{}
	lint(t, func(n node) string {
		for _, v := range n.schema.XValidations {
			if v.Message == "" {
				return "rule without a message: " + v.Rule
			}
			// The same fallback rule is written once for each block that can hold one.
			rule := strings.NewReplacer("self.defaults", "self", "self.overrides", "self").Replace(v.Rule)
			rule = strings.TrimPrefix(rule, "!has(self) || ")
			if earlier, ok := messages[v.Message]; ok && earlier != rule {
				return "two rules with the same message: " + v.Message
			}
			messages[v.Message] = rule
		}
		return ""
	})
}

// kubectl apply keeps the whole object in an annotation, and all annotations
// together may hold 256 KiB.
func TestCRDsFitKubectlApply(t *testing.T) {
	for _, c := range loadCRDs(t) {
		size, err := json.Marshal(c.object)
		if err != nil {
			t.Fatal(err)
		}
		if limit := 250 << 10; len(size) > limit {
			t.Errorf("%s: %d bytes of JSON, want at most %d: shorten descriptions", c.kind, len(size), limit)
		}
	}
}

func TestCRDNames(t *testing.T) {
	short := map[string]string{"RetryPolicy": "rp", "ClusterRetryPolicy": "crp"}
	for _, c := range loadCRDs(t) {
		names := c.object.Spec.Names
		if got, want := names.ShortNames, []string{short[c.kind]}; !slices.Equal(got, want) {
			t.Errorf("%s: short names %v, want %v", c.kind, got, want)
		}
		if got, want := names.Categories, []string{"fairlead"}; !slices.Equal(got, want) {
			t.Errorf("%s: categories %v, want %v", c.kind, got, want)
		}
		if c.version.Subresources == nil || c.version.Subresources.Status == nil {
			t.Errorf("%s: no status subresource", c.kind)
		}
		delete(short, c.kind)
	}
	if len(short) != 0 {
		t.Errorf("no CRD for %v", slices.Sorted(maps.Keys(short)))
	}
}
