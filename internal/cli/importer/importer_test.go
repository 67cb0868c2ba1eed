package importer

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/controller/compile"
	"sigs.k8s.io/yaml"
)

func TestWhatIsImported(t *testing.T) {
	for name, args := range map[string][]string{
		"istio":           {"-f", "testdata/istio.yaml"},
		"istio-cluster":   {"-f", "testdata/istio.yaml", "--cluster"},
		"gateway":         {"-f", "testdata/gateway.yaml"},
		"gateway-parents": {"-f", "testdata/gateway.yaml", "--gateways", "-o", "json"},
		"linkerd":         {"-f", "testdata/linkerd.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t)
			if err := clitest.Run(t, env, New(env), args...); err != nil {
				t.Fatal(err)
			}
			clitest.Golden(t, name, out.String()+"=== standard error\n"+errOut.String())
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
	p := got.Policies[0].(*v1alpha1.RetryPolicy)
	rule := p.Spec.Rules[0]
	merged := compile.Settings(compile.Merged(&p.Spec.PolicyBody, &v1alpha1.PolicyBody{CallBlocks: rule.CallBlocks}))
	if merged.Timeouts.Overall != 0 || merged.Timeouts.PerTry != 0 {
		t.Errorf("/plain has the timeouts %+v of the other route", merged.Timeouts)
	}
	if merged.Retry.MaxRetries != 2 || len(merged.Retry.StatusCodes) != 0 || strings.Contains(strings.Join(merged.Retry.On.Names(), " "), "ServerError") {
		t.Errorf("/plain has the retries %+v of the other route, not Istio's default", merged.Retry)
	}
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
