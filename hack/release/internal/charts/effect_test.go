package charts

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// monitoringValues are values of which testdata has none: an API server admits what they bring only with the Prometheus operator's kinds.
const monitoringValues = `monitoring:
  podMonitors: {enabled: true, labels: {release: prometheus}, interval: 10s}
  rules: {enabled: true, labels: {release: prometheus}, runbookURL: https://runbooks.example/fairlead}
  dashboards: {enabled: true, labels: {dashboards: "yes"}, annotations: {folder: fairlead}, namespace: grafana}
`

// TestEachValueHasAnEffect: of each value there is one other than its default with which the chart makes something else, or refuses it.
func TestEachValueHasAnEffect(t *testing.T) {
	sets := valuesFiles(t)
	sets["monitoring"] = parseValues(t, monitoringValues)
	effective := map[string]bool{
		"image.pinDigests": true, // of packaged charts: TestDigestsArePinned
	}
	for _, values := range sets {
		with := rendered(t, values)
		for _, path := range leaves(t, Main) {
			without, had := leftOut(t, values, path)
			if had && !effective[strings.Join(path, ".")] && rendered(t, without) != with {
				effective[strings.Join(path, ".")] = true
			}
		}
	}
	for _, path := range leaves(t, Main) {
		if name := strings.Join(path, "."); !effective[name] {
			t.Errorf("%s changes nothing, or no file in testdata has another value of it than its default", name)
		}
	}
}

// rendered is what a chart makes of values, as text, or why it refuses them.
func rendered(t *testing.T, values map[string]any) string {
	t.Helper()
	all, err := Render(chartDir(Main), "n", values)
	if err != nil {
		return err.Error()
	}
	slices.SortFunc(all, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(a.GetKind()+a.GetName(), b.GetKind()+b.GetName())
	})
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leaves are the paths of a chart's values: what values.yaml has, down to where its schema leaves the names to the user.
func leaves(t *testing.T, chart string) (all [][]string) {
	t.Helper()
	schema := readSchema(t, chart)
	var walk func(path []string, properties map[string]any)
	walk = func(path []string, properties map[string]any) {
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			property := properties[name].(map[string]any)
			if ref, ok := property["$ref"].(string); ok {
				property = schema.Definitions[strings.TrimPrefix(ref, "#/definitions/")]
			}
			at := append(slices.Clone(path), name)
			if below, _ := property["properties"].(map[string]any); len(below) > 0 && property["additionalProperties"] == false && !asPods[name] {
				walk(at, below)
			} else if at[0] != "global" {
				all = append(all, at)
			}
		}
	}
	walk(nil, schema.Properties)
	if len(all) < 60 {
		t.Fatalf("%d values were found", len(all))
	}
	return all
}

// asPods are values that go to a pod as they are.
var asPods = map[string]bool{"resources": true, "affinity": true, "updateStrategy": true, "container": true}

// leftOut returns values without one, and whether they had it.
func leftOut(t *testing.T, values map[string]any, path []string) (map[string]any, bool) {
	t.Helper()
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	copied := parseValues(t, string(text))
	_, had, _ := unstructured.NestedFieldNoCopy(copied, path...)
	unstructured.RemoveNestedField(copied, path...)
	return copied, had
}

// TestDigestsArePinned: a packaged chart names the digests of its release, but where values name a tag or a digest of their own, or want none.
func TestDigestsArePinned(t *testing.T) {
	digest, own := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	path, err := Package(chartDir(Main), t.TempDir(), Version{
		Version: "1.2.3", Registry: "registry.example", Digests: map[string]string{"manager": digest, "agent": digest, "dashboard": digest},
	})
	if err != nil {
		t.Fatal(err)
	}
	for values, want := range map[string]string{
		`{dashboard: {enabled: true}}`:                             ":1.2.3@" + digest,
		`{dashboard: {enabled: true}, image: {pinDigests: false}}`: ":1.2.3",
		`{dashboard: {enabled: true}, image: {tag: "1.2.4"}}`:      ":1.2.4",
		`{dashboard: {enabled: true, image: {digest: "` + own + `"}}, manager: {image: {digest: "` + own + `"}}, agent: {image: {digest: "` + own + `"}}, image: {tag: "1.2.4"}}`: ":1.2.4@" + own,
	} {
		all, err := Render(path, "n", parseValues(t, values))
		if err != nil {
			t.Fatal(err)
		}
		images := 0
		for _, o := range all {
			if image := imageOf(o); image != "" {
				images++
				if name := strings.TrimPrefix(o.GetName(), "fairlead-"); image != "registry.example/"+name+want {
					t.Errorf("%s: %s", values, image)
				}
			}
		}
		if images != 3 {
			t.Errorf("%s: %d images", values, images)
		}
	}
}
