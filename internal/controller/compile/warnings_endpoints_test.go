package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Where nothing can stand in for an endpoint, the breaker of each does nothing, and the policy says so.
func TestEndpointsThatNothingStandsInFor(t *testing.T) {
	const does, single = "circuitBreaker.scope: Endpoint does nothing for ", ": each address is a destination of its own there, which scope: Destination opens."
	cidr := v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{Block: "192.0.2.0/24"}}
	direct, proxied := host("a.example"), host("b.example")
	direct.Via = &v1alpha1.Via{Mode: v1alpha1.SwitchDisabled}
	proxied.Via = &v1alpha1.Via{Proxy: "proxy.example:3128"}
	for name, tc := range map[string]struct {
		to   []v1alpha1.Destination
		want []string
	}{
		"a Service, and hosts": {to(service("", "inventory", 80), host("a.example"), host("*.b.example"), direct), nil},
		"addresses":            {to(host("a.example"), cidr), []string{does + "to[].cidr" + single}},
		"anything":             {to(anyOf()), []string{does + "to[].any" + single}},
		"every host":           {to(host("*")), []string{does + `to[].host "*"` + single}},
		"several":              {to(anyOf(), cidr, anyOf(80)), []string{does + "to[].cidr and to[].any" + single}},
		"through a proxy":      {to(host("a.example"), proxied), []string{does + "to[].via: the proxy chooses the endpoints."}},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source{Body: body(t, `circuitBreaker: {consecutiveFailures: 5, scope: Endpoint}`), To: tc.to}
			if diff := cmp.Diff(tc.want, Warnings(&src)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
