package charts

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestBadValuesAreRefused: with the path of the value, and what is allowed.
func TestBadValuesAreRefused(t *testing.T) {
	for values, want := range map[string]string{
		`{manager: {replcias: 3}}`:                                                    `at '/manager': additional properties 'replcias' not allowed`,
		`{manger: {}}`:                                                                `additional properties 'manger' not allowed`,
		`{manager: {replicas: 0}}`:                                                    `at '/manager/replicas': minimum: got 0, want 1`,
		`{manager: {replicas: "2"}}`:                                                  `at '/manager/replicas': got string, want integer`,
		`{manager: {inventory: {flows: -1}}}`:                                         `at '/manager/inventory/flows': minimum`,
		`{manager: {logLevel: debug}}`:                                                `at '/manager/logLevel': value must be one of 'DEBUG', 'INFO', 'WARN', 'ERROR'`,
		`{agent: {logLevel: TRACE}}`:                                                  `at '/agent/logLevel': value must be one of`,
		`{agent: {drain: 10}}`:                                                        `at '/agent/drain': got number, want string`,
		`{agent: {drain: 1m30s}}`:                                                     `at '/agent/drain': '1m30s' does not match pattern`,
		`{agent: {maxSeries: -1}}`:                                                    `at '/agent/maxSeries': minimum`,
		`{agent: {criSocket: /crio.sock}}`:                                            `at '/agent/criSocket': '/crio.sock' does not match pattern`,
		`{agent: {stateDir: /}}`:                                                      `at '/agent/stateDir'`,
		`{agent: {image: {digest: latest}}}`:                                          `at '/agent/image/digest': 'latest' does not match pattern '^(sha256:[0-9a-f]{64})?$'`,
		`{agent: {image: {tag: "1.0"}}}`:                                              `at '/agent/image': additional properties 'tag' not allowed`,
		`{agent: {tolerations: [{operator: Exist}]}}`:                                 `at '/agent/tolerations/0/operator': value must be one of 'Exists', 'Equal'`,
		`{agent: {tolerations: [{effect: Evict}]}}`:                                   `at '/agent/tolerations/0/effect'`,
		`{agent: {tracing: {endpoint: "collector:4317"}}}`:                            `at '/agent/tracing/endpoint': 'collector:4317' does not match pattern '^(https?://`,
		`{agent: {tracing: {protocol: http/json}}}`:                                   `at '/agent/tracing/protocol': value must be one of 'grpc', 'http/protobuf'`,
		`{agent: {accessLog: {export: otlp}}}`:                                        `at '/agent/accessLog/export': got string, want boolean`,
		`{agent: {tracing: {headersSecret: {name: "Not A Name"}}}}`:                   `at '/agent/tracing/headersSecret/name'`,
		`{agent: {resources: {limits: {memory: 512MB}}}}`:                             `at '/agent/resources/limits/memory': '512MB' does not match pattern`,
		`{agent: {resources: {limit: {memory: 512Mi}}}}`:                              `additional properties 'limit' not allowed`,
		`{agent: {extraArgs: [pprof]}}`:                                               `at '/agent/extraArgs/0': 'pprof' does not match pattern '^--[a-z]'`,
		`{agent: {extraEnv: [{value: a}]}}`:                                           `at '/agent/extraEnv/0': missing property 'name'`,
		`{agent: {updateStrategy: {type: Recreate}}}`:                                 `at '/agent/updateStrategy/type': value must be one of 'RollingUpdate', 'OnDelete'`,
		`{agent: {updateStrategy: {rollingUpdate: {maxSurge: "1"}}}}`:                 `at '/agent/updateStrategy/rollingUpdate/maxSurge'`,
		`{agent: {nodeSelector: {gpu: true}}}`:                                        `at '/agent/nodeSelector/gpu': got boolean, want string`,
		`{agent: {affinity: {nodeAfinity: {}}}}`:                                      `additional properties 'nodeAfinity' not allowed`,
		`{image: {registry: "https://registry.example"}}`:                             `at '/image/registry'`,
		`{image: {tag: "a b"}}`:                                                       `at '/image/tag'`,
		`{image: {pullPolicy: Sometimes}}`:                                            `at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'`,
		`{image: {pullSecrets: [{name: a}]}}`:                                         `at '/image/pullSecrets/0': got object, want string`,
		`{commonLabels: {a: 1}}`:                                                      `at '/commonLabels/a': got number, want string`,
		`{clusterDomain: ""}`:                                                         `at '/clusterDomain'`,
		`{manager: {podDisruptionBudget: {maxUnavailable: half}}}`:                    `at '/manager/podDisruptionBudget/maxUnavailable'`,
		`{manager: {topologySpreadConstraints: [{maxSkew: 1}]}}`:                      `missing properties 'topologyKey', 'whenUnsatisfiable'`,
		`{dashboard: {hosts: ["https://fairlead.example.com"]}}`:                      `at '/dashboard/hosts/0': 'https://fairlead.example.com' does not match pattern`,
		`{dashboard: {proxy: {port: 8080}}}`:                                          `at '/dashboard/proxy/port'`,
		`{dashboard: {proxy: {container: {args: [a]}}}}`:                              `at '/dashboard/proxy/container': missing property 'image'`,
		`{dashboard: {proxy: {container: {name: dashboard, image: a}}}}`:              `at '/dashboard/proxy/container/name'`,
		`{dashboard: {proxy: {volumes: [{name: token}]}}}`:                            `at '/dashboard/proxy/volumes/0/name'`,
		`{dashboard: {enabled: true, proxy: {container: {image: a}}}}`:                `dashboard.hosts is empty: give the host names`,
		`{agent: {accessLog: {export: true}}}`:                                        `agent.accessLog.export needs a collector: give its URL as agent.tracing.endpoint`,
		`{networkPolicy: {dashboardFrom: [{namespace: a}]}}`:                          `at '/networkPolicy/dashboardFrom/0': additional properties 'namespace' not allowed`,
		`{networkPolicy: {metricsFrom: [{namespace: a}]}}`:                            `at '/networkPolicy/metricsFrom/0': additional properties 'namespace' not allowed`,
		`{networkPolicy: {apiServerPorts: [https]}}`:                                  `at '/networkPolicy/apiServerPorts/0': got string, want integer`,
		`{networkPolicy: {agentEgress: [{from: []}]}}`:                                `additional properties 'from' not allowed`,
		`{monitoring: {rules: {runbookURL: runbooks.md}}}`:                            `at '/monitoring/rules/runbookURL'`,
		`{docsURL: "javascript:alert(1)"}`:                                            `at '/docsURL'`,
		`{monitoring: {podMonitors: {interval: 30}}}`:                                 `at '/monitoring/podMonitors/interval': got number, want string`,
		`{monitoring: {dashboard: {enabled: true}}}`:                                  `additional properties 'dashboard' not allowed`,
		`{rbac: {referenceNamespaces: [shop, shop]}}`:                                 `at '/rbac/referenceNamespaces': items at 0 and 1 are equal`,
		`{manager: {podLabels: {app.kubernetes.io/name: other}}}`:                     `at '/manager/podLabels/app.kubernetes.io~1name': false schema`,
		`{agent: {podAnnotations: {kubectl.kubernetes.io/default-container: other}}}`: `at '/agent/podAnnotations/kubectl.kubernetes.io~1default-container': false schema`,
	} {
		_, err := Render(chartDir(Main), "n", parseValues(t, values))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", values, err, want)
		}
	}
}

func parseValues(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return values
}

// schema is what a chart's values.schema.json allows, in part.
type schema struct {
	Properties  map[string]any
	Definitions map[string]map[string]any
}

func readSchema(t *testing.T, chart string) (s schema) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir(chart), "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEachValueHasADefault: what the schema allows, values.yaml shows, so that a reader finds it there.
func TestEachValueHasADefault(t *testing.T) {
	for _, name := range []string{Main, CRDs} {
		schema := readSchema(t, name)
		if schema.Properties["global"] == nil {
			t.Errorf("%s refuses the values that a chart above it gives to all", name)
		}
		delete(schema.Properties, "global")
		checkDefaults(t, name, schema.Properties, readValues(t, filepath.Join(chartDir(name), "values.yaml")), schema.Definitions)
	}
}

func checkDefaults(t *testing.T, path string, properties map[string]any, values map[string]any, definitions map[string]map[string]any) {
	t.Helper()
	for name, p := range properties {
		value, ok := values[name]
		if !ok {
			t.Errorf("%s.%s has no default in values.yaml", path, name)
			continue
		}
		property := p.(map[string]any)
		if ref, ok := property["$ref"].(string); ok {
			property = definitions[strings.TrimPrefix(ref, "#/definitions/")]
		}
		below, _ := property["properties"].(map[string]any)
		if property["additionalProperties"] != false {
			continue // its names are the user's
		}
		if inside, ok := value.(map[string]any); ok && len(inside) > 0 && len(below) > 0 {
			checkDefaults(t, path+"."+name, below, inside, definitions)
		}
	}
}

// fixed are flags that no value sets, each with the reason.
var fixed = map[string]map[string]string{
	"manager": {
		"agents-address":  "a pod has its ports for itself",
		"metrics-address": "a pod has its ports for itself",
		"health-address":  "a pod has its ports for itself",
		"live-address":    "a pod has its ports for itself",
	},
	"agent": {},
	"dashboard": {
		"address":        "a pod has its ports for itself",
		"health-address": "a pod has its ports for itself",
	},
}

// TestEachFlagCanBeSet: a flag of manager or agent that no value reaches would be one that users of the chart do not have.
func TestEachFlagCanBeSet(t *testing.T) {
	all := render(t, Main, "n", readValues(t, "testdata/everything.yaml"))
	for component, reasons := range fixed {
		given := argsOf(t, all, "fairlead-"+component)
		declared := flagsOf(t, filepath.Join(tree, "cmd", component))
		for _, name := range declared {
			_, excepted := reasons[name]
			set := slices.ContainsFunc(given, func(arg string) bool { return arg == "--"+name || strings.HasPrefix(arg, "--"+name+"=") })
			if set == excepted {
				t.Errorf("%s: flag %s is set: %v, excepted: %v", component, name, set, excepted)
			}
		}
		for _, arg := range given {
			name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			if !slices.Contains(declared, name) && name != "kubeconfig" { // which comes with a library
				t.Errorf("%s has no flag %s", component, name)
			}
		}
	}
}

func argsOf(t *testing.T, all []*unstructured.Unstructured, name string) []string {
	t.Helper()
	for _, o := range all {
		if containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers"); o.GetName() == name && len(containers) > 0 {
			args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
			if err != nil {
				t.Fatal(err)
			}
			return args
		}
	}
	t.Fatalf("there is no workload %s", name)
	return nil
}

// flagsOf returns the names of the flags that a command declares.
func flagsOf(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasSuffix(function.Sel.Name, "Var") {
				return true
			}
			if literal, ok := call.Args[1].(*ast.BasicLit); ok {
				name, _ := strconv.Unquote(literal.Value)
				names = append(names, name)
			}
			return true
		})
	}
	if len(names) < 5 {
		t.Fatalf("%s declares %d flags: %s", dir, len(names), fmt.Sprint(names))
	}
	return names
}
