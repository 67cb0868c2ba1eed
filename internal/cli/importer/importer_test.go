package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/gather"
	"fairlead.dev/fairlead/internal/cli/schema"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
	"sigs.k8s.io/yaml"
)

func TestWhatIsImported(t *testing.T) {
	for name, args := range map[string][]string{
		"istio":           {"-f", "testdata/istio.yaml"},
		"istio-cluster":   {"-f", "testdata/istio.yaml", "--cluster"},
		"gateway":         {"-f", "testdata/gateway.yaml"},
		"gateway-parents": {"-f", "testdata/gateway.yaml", "--gateways", "-o", "json"},
		"linkerd":         {"-f", "testdata/linkerd.yaml"},
		"refused":         {"-f", "testdata/refused.yaml"},
		"refused-cluster": {"-f", "testdata/refused.yaml", "--cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t)
			if err := clitest.Run(t, env, New(env), args...); err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out.String()+"=== standard error\n"+errOut.String())
			areAccepted(t, out.String())
		})
	}
}

// What is set in an object is either in a policy or listed as lost: of an object whose every field is unknown everything is listed.
func TestNothingIsDroppedSilently(t *testing.T) {
	u := object(t, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: b}
spec:
  host: a
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 5, newField: 3}, http: {alsoNew: {deep: [1, {deeper: x}]}}}
  brandNew: {}
`)
	got := Import([]*unstructured.Unstructured{u}, Options{})
	var fields []string
	for _, l := range got.Lost {
		fields = append(fields, l.Field)
	}
	for _, want := range []string{
		"spec.trafficPolicy.connectionPool.tcp.newField", "spec.trafficPolicy.connectionPool.http.alsoNew.deep[0]",
		"spec.trafficPolicy.connectionPool.http.alsoNew.deep[1].deeper", "spec.brandNew",
	} {
		if !slices.Contains(fields, want) {
			t.Errorf("%s is dropped silently; lost are %v", want, fields)
		}
	}
}

// Nor are objects that have retries in a form of their own, beside others that are read.
func TestKindsThatAreNotRead(t *testing.T) {
	got := Import([]*unstructured.Unstructured{
		object(t, "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: a.b.svc.cluster.local, namespace: b}\nspec: {routes: [{name: GET, isRetryable: true}]}"),
		object(t, "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: more, namespace: b}\nspec: {}"),
		object(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\nspec: {}"),
	}, Options{})
	if len(got.Lost) != 2 || got.Lost[0].Object != "EnvoyFilter b/more" || got.Lost[1].Object != "ServiceProfile b/a.b.svc.cluster.local" {
		t.Errorf("lost are %+v", got.Lost)
	}
}

// Where only such objects are, in files or a cluster, the reasons are printed. Who may not list them in a cluster imports what is read.
func TestOnlyKindsThatAreNotRead(t *testing.T) {
	const profile = "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: a.shop.svc.cluster.local, namespace: shop}\nspec: {routes: [{name: GET, isRetryable: true}]}\n"
	path := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(path, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-f", path}, {"-n", "shop"}} {
		env, out, errOut := clitest.Env(t, path)
		if err := clitest.Run(t, env, New(env), args...); err != nil {
			t.Fatal(err)
		}
		if out.Len() > 0 || !strings.Contains(errOut.String(), "ServiceProfile shop/a.shop.svc.cluster.local: ServiceProfiles are not read") {
			t.Errorf("%v: printed %s, said %s", args, out, errOut)
		}
	}
	for kind, fails := range map[string]bool{"ServiceProfileList": false, "VirtualServiceList": true} {
		env, _, _ := clitest.Env(t, path)
		c, err := env.Client()
		if err != nil {
			t.Fatal(err)
		}
		refusing := interceptor.NewClient(c, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if list.GetObjectKind().GroupVersionKind().Kind == kind {
				return apierrors.NewForbidden(runtimeschema.GroupResource{Resource: kind}, "", errors.New("no right"))
			}
			return c.List(ctx, list, o...)
		}})
		if _, err := readCluster(t.Context(), refusing, "shop"); (err != nil) != fails {
			t.Errorf("without the right to %s: %v", kind, err)
		}
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// A rule of a route that says nothing of retries and timeouts does not get what another one says.
func TestRulesOfRoutesDoNotInherit(t *testing.T) {
	u := object(t, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: b}
spec:
  hosts: [a]
  http:
  - match: [{uri: {exact: /plain}}]
    route: [{destination: {host: a}}]
  - timeout: 1s
    retries: {attempts: 5, perTryTimeout: 100ms, retryOn: "5xx,503"}
    route: [{destination: {host: a}}]
`)
	got := Import([]*unstructured.Unstructured{u}, Options{})
	p, err := gather.As[v1alpha1.RetryPolicy](got.Policies[0])
	if err != nil {
		t.Fatal(err)
	}
	rule := p.Spec.Rules[0]
	merged := compile.Settings(compile.Merged(&p.Spec.PolicyBody, &v1alpha1.PolicyBody{CallBlocks: rule.CallBlocks}))
	if merged.Timeouts.Overall != 0 || merged.Timeouts.PerTry != 0 {
		t.Errorf("/plain has the timeouts %+v of the other route", merged.Timeouts)
	}
	if merged.Retry.MaxRetries != 2 || len(merged.Retry.StatusCodes) != 0 || strings.Contains(strings.Join(merged.Retry.On.Names(), " "), "ServerError") {
		t.Errorf("/plain has the retries %+v of the other route, not Istio's default", merged.Retry)
	}
}

// Which of the rules of several routes is for a request, and what it comes to, is as it was with the routes.
func TestWhichRuleOfRoutesCounts(t *testing.T) {
	const (
		virtual = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: b}\nspec: {hosts: [a], %s}"
		route   = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: %s, namespace: b}\nspec: {parentRefs: [{group: '', kind: Service, name: a}], rules: %s}"
	)
	for name, tc := range map[string]struct {
		objects []string
		path    string
		overall time.Duration
		retries int
		lost    string
	}{
		"what the first says nothing of is not the second's": {
			[]string{fmt.Sprintf(virtual, "x", "http: [{match: [{uri: {exact: /up/load}}]}, {match: [{uri: {prefix: /up/}}], timeout: 1s, retries: {attempts: 5}}]")},
			"/up/load", 0, 2, "",
		},
		"calls of gateways are not those of pods": {
			[]string{fmt.Sprintf(virtual, "x", "gateways: [mesh, out], http: [{match: [{gateways: [out]}], timeout: 60s}, {match: [{gateways: [mesh]}], timeout: 1s}]")},
			"/", time.Second, 2, "its calls are made by gateways",
		},
		"the more specific of two routes": {
			[]string{
				fmt.Sprintf(route, "x", "[{matches: [{path: {type: PathPrefix, value: /up}}], timeouts: {request: 1s}}]"),
				fmt.Sprintf(route, "y", "[{matches: [{path: {type: Exact, value: /up/load}}], timeouts: {request: 9s}}]"),
			}, "/up/load", 9 * time.Second, 2, "",
		},
		"a route does not inherit from another one": {
			[]string{
				fmt.Sprintf(route, "x", "[{timeouts: {request: 1s}, retry: {attempts: 5, codes: [503]}}]"),
				fmt.Sprintf(route, "y", "[{matches: [{path: {type: Exact, value: /up/load}}], timeouts: {backendRequest: 9s}}]"),
			}, "/up/load", 0, 0, "",
		},
		"nor does one that says nothing": {
			[]string{
				fmt.Sprintf(route, "x", "[{timeouts: {request: 1s}, retry: {attempts: 5, codes: [503]}}]"),
				fmt.Sprintf(route, "y", "[{matches: [{path: {type: Exact, value: /up/load}}]}]"),
			}, "/up/load", 0, 0, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []*unstructured.Unstructured
			for _, text := range tc.objects {
				objects = append(objects, object(t, text))
			}
			got := Import(objects, Options{})
			p, err := gather.As[v1alpha1.RetryPolicy](got.Policies[0])
			if err != nil || len(got.Policies) != 1 {
				t.Fatal(len(got.Policies), err)
			}
			s := settingsOf(&p, tc.path)
			if s.Timeouts.Overall != tc.overall || s.Retry.MaxRetries != tc.retries {
				t.Errorf("%s has %s in all and %d retries, want %s and %d; the rules are %+v", tc.path, s.Timeouts.Overall, s.Retry.MaxRetries, tc.overall, tc.retries, p.Spec.Rules)
			}
			if tc.lost != "" && !slices.ContainsFunc(got.Lost, func(l Lost) bool { return strings.Contains(l.Reason, tc.lost) }) {
				t.Errorf("lost are %v, not that %s", got.Lost, tc.lost)
			}
		})
	}
}

// settingsOf is what a policy comes to for a request with a path.
func settingsOf(p *v1alpha1.RetryPolicy, path string) policy.Settings {
	for _, r := range p.Spec.Rules {
		if slices.ContainsFunc(r.Match, func(m v1alpha1.CallMatch) bool { return fits(m.Path, path) }) {
			return compile.Settings(compile.Merged(&p.Spec.PolicyBody, &v1alpha1.PolicyBody{CallBlocks: r.CallBlocks}))
		}
	}
	return compile.Settings(&p.Spec.PolicyBody)
}

func fits(m *v1alpha1.PathMatch, path string) bool {
	switch m.Type {
	case v1alpha1.PathExact:
		return path == m.Value
	case v1alpha1.PathRegularExpression:
		return regexp.MustCompile("^(?:" + m.Value + ")$").MatchString(path)
	}
	return path == m.Value || strings.HasPrefix(path, strings.TrimRight(m.Value, "/")+"/")
}

func TestHowDurationsAreWritten(t *testing.T) {
	for in, want := range map[string]string{
		"100ms": "100ms", "2.5s": "2500ms", "0.5s": "500ms", "90s": "1m30s", "15m": "15m", "7200s": "2h", "0s": "", "1h0m5s": "1h0m5s", "100us": "1ms", "200.5s": "200s500ms",
	} {
		s := newSource(&unstructured.Unstructured{Object: map[string]any{"d": in}}, nil)
		got := s.duration(s.at("d"))
		if string(got) != want {
			t.Errorf("%s is written as %q, want %q", in, got, want)
		}
		if _, err := got.Parse(); got != "" && err != nil {
			t.Error(err)
		}
	}
}

// checker reads the definitions once for all tests.
var checker = sync.OnceValue(schema.New)

// areAccepted checks that an API server would accept all that import has printed.
func areAccepted(t *testing.T, printed string) {
	t.Helper()
	d := kubeyaml.NewYAMLOrJSONDecoder(strings.NewReader(printed), 4096)
	n := 0
	for {
		u := &unstructured.Unstructured{}
		if err := d.Decode(u); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all := []*unstructured.Unstructured{u}
		if u.IsList() {
			list, err := u.ToList()
			if err != nil {
				t.Fatal(err)
			}
			all = nil
			for i := range list.Items {
				all = append(all, &list.Items[i])
			}
		}
		n += len(all)
		if err := checker().All(all); err != nil {
			t.Error(err)
		}
	}
	if n == 0 {
		t.Error("nothing is printed")
	}
}

// Whatever part is refused, what is left is smaller each time, and is accepted or left out with a sentence.
func TestWhatIsRefusedIsLeftOut(t *testing.T) {
	for name, tc := range map[string]struct{ spec, left, says string }{
		"a value": {"retry: {maxRetries: 11, backoff: {initialInterval: 10ms}}", "retry: {backoff: {initialInterval: 10ms}}",
			"spec.retry.maxRetries of RetryPolicy shop/p would be refused, and is left out: spec.retry.maxRetries: Invalid value: 11"},
		"a block with nothing left": {"retry: {maxRetries: 11}, timeouts: {overall: 1s}", "timeouts: {overall: 1s}", "spec.retry.maxRetries of"},
		"an entry of a list":        {"retry: {statusCodes: ['503', '600']}", "retry: {statusCodes: ['503']}", "spec.retry.statusCodes[1] of"},
		"a match, not a part of it": {
			"rules: [{name: a, match: [{methods: [GET], path: {value: a}}, {methods: [PUT]}], timeouts: {overall: 1s}}]",
			"rules: [{name: a, match: [{methods: [PUT]}], timeouts: {overall: 1s}}]", "spec.rules[0].match[0] of",
		},
		"a rule without matches": {
			"rules: [{name: a, match: [{path: {value: a}}], timeouts: {overall: 1s}}], timeouts: {overall: 2s}", "timeouts: {overall: 2s}", "spec.rules[0] of",
		},
		"a rule with nothing left":   {"rules: [{name: a, match: [{methods: [GET]}], retry: {maxRetries: 11}}], timeouts: {overall: 2s}", "timeouts: {overall: 2s}", "spec.rules[0] of"},
		"several":                    {"retry: {maxRetries: 11}, circuitBreaker: {consecutiveFailures: 0}, timeouts: {overall: 2s}", "timeouts: {overall: 2s}", "spec.circuitBreaker"},
		"what blocks other rules":    {"udp443: Sometimes, timeouts: {perTry: 2s, overall: 1s}", "timeouts: {overall: 1s}", "spec.timeouts.perTry of"},
		"too many rules":             {manyRules(17), manyRules(16), "spec.rules[16] of"},
		"everything":                 {"retry: {maxRetries: 11}", "", "spec.retry.maxRetries of"},
		"what cannot do without it":  {"to: [{host: 'a b'}], retry: {maxRetries: 1}", "", "RetryPolicy shop/p would be refused, and is left out: spec.to[0].host"},
		"a rule about several parts": {"rules: [{name: a, match: [{methods: [GET]}], timeouts: {perTry: 5s}}], timeouts: {overall: 1s}", "", "RetryPolicy shop/p would be refused"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := func(spec string) *unstructured.Unstructured {
				if !strings.Contains(spec, "to: [") {
					spec = "to: [{host: a.example}], " + spec
				}
				return object(t, "apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nmetadata: {name: p, namespace: shop}\nspec: {"+spec+"}")
			}
			got := &Imported{Policies: []*unstructured.Unstructured{policy(tc.spec)}, From: [][]string{{"VirtualService shop/a"}}}
			if err := got.keepAccepted(checker().Check); err != nil {
				t.Fatal(err)
			}
			if tc.left == "" {
				if len(got.Policies)+len(got.From) > 0 {
					t.Errorf("left is %v", got.Policies[0].Object)
				}
			} else if diff := cmp.Diff([]*unstructured.Unstructured{policy(tc.left)}, got.Policies); diff != "" {
				t.Error(diff)
			}
			if !slices.ContainsFunc(got.Lost, func(l Lost) bool { return strings.Contains(l.Reason, tc.says) && l.Object == "VirtualService shop/a" }) {
				t.Errorf("lost are %v", got.Lost)
			}
		})
	}
}

func manyRules(n int) string {
	var rules []string
	for i := range n {
		rules = append(rules, fmt.Sprintf("{name: r-%d, match: [{methods: [GET]}], timeouts: {overall: 1s}}", i))
	}
	return "rules: [" + strings.Join(rules, ", ") + "]"
}
