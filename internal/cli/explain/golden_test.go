package explain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/policy"
)

const shop = "../testdata/shop.yaml"

func TestWhatIsPrinted(t *testing.T) {
	for name, args := range map[string][]string{
		"explain":          {"checkout-1", "payments.billing", "-n", "shop", "--method", "POST", "--path", "/v1/charges"},
		"explain-header":   {"pod/checkout-1", "http://payments.billing.svc.cluster.local/", "-n", "shop", "--header", "x-tier: gold"},
		"explain-named":    {"web-1", "http://192.0.2.7/v1", "-n", "shop", "--header", "Host: api.partner.example"},
		"explain-regex":    {"checkout-1", "http://10.96.0.12/v2/gold", "-n", "shop"},
		"explain-endpoint": {"checkout-1", "10.1.0.7:8080", "-n", "shop", "-o", "yaml"},
		"explain-host":     {"web-1", "https://api.partner.example/v1", "-n", "shop"},
		"explain-any":      {"web-1", "grpc://stock.elsewhere.example:9000", "-n", "shop", "--grpc", "stock.v1.Stock/Get"},
		"explain-hostnet":  {"node-exporter", "payments.billing:80", "-n", "shop"},
		"explain-nobody":   {"checkout-9", "payments.billing:80", "-n", "shop"},
		"explain-port":     {"checkout-1", "redis.elsewhere.example", "-n", "shop"},
		"explain-scheme":   {"checkout-1", "ftp://x", "-n", "shop"},
		"explain-files":    {"web-1", "payments.billing:80", "-n", "shop", "-f", shop},
		"explain-http2":    {"checkout-1", "payments.billing:80", "-n", "shop", "--http2"},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t, shop)
			if err := clitest.Run(t, env, New(env), args...); err != nil {
				out.WriteString("error: " + err.Error() + "\n")
			}
			clitest.Golden(t, name, out.String()+errOut.String())
		})
	}
}

// What files leave open is said: which labels a namespace has decides what governs its pods.
func TestNamespacesThatAreInNoFile(t *testing.T) {
	const files = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec: {schedule: "0 3 * * *", jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}
---
apiVersion: policy.fairlead.dev/v1alpha1
kind: ClusterRetryPolicy
metadata: {name: base}
spec: {namespaceSelector: {matchLabels: {team: shop}}, to: [{any: {}}], defaults: {retry: {maxRetries: 1}}}
`
	const namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: shop, kubernetes.io/metadata.name: shop}}\n"
	for text, want := range map[string]string{
		files: "The files have no Namespace shop, so ClusterRetryPolicies are selected by its name alone", files + namespace: "fits, and governs the call",
	} {
		path := filepath.Join(t.TempDir(), "files.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		env, out, _ := clitest.Env(t, shop)
		if err := clitest.Run(t, env, New(env), "nightly", "a.example:80", "-n", "shop", "-f", path); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "no Namespace") == (text != files) {
			t.Errorf("it says\n%s", out)
		}
	}
}

// Where TLS is intercepted the destination is that of the connection, whose client names a host before it speaks HTTP, and rules go by the request's own host.
func TestTheHostInInterceptedTLS(t *testing.T) {
	c, err := parseDestination("https://api.example/")
	if err != nil {
		t.Fatal(err)
	}
	c.name("tenant.example")
	to := policy.Target{Kind: policy.TargetHost, Host: "api.example", Ports: []uint16{443}, TLS: policy.TLS{Mode: policy.TLSIntercept}}
	if fit, why := fits(&to, &c, nil); fit != yes {
		t.Errorf("the destination: %s", why)
	}
	if why := misses(&policy.RequestMatch{Host: "tenant.example"}, &c); why != "" {
		t.Errorf("a rule for the request's host: %s", why)
	}
	if misses(&policy.RequestMatch{Host: "api.example"}, &c) == "" {
		t.Error("a rule for the connection's host fits")
	}
}
