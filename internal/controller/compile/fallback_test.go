package compile

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

var prefixes = cmpopts.EquateComparable(netip.Prefix{})

// backupsOf lists what calls fall back on under the bindings of a profile.
func backupsOf(p *policy.Profile) (out []policy.Target) {
	for i := range p.Bindings {
		for to := range p.Bindings[i].Backups {
			out = append(out, *to)
		}
	}
	return out
}

// Whitespace around the value of a field is left out, in which no version of HTTP may have it.
func TestFallbackFieldsAreTrimmed(t *testing.T) {
	f := fallbackOf(body(t, "fallback: {response: {statusCode: 200, headers: [{name: A, value: ' a b\t'}, {name: B, value: ' '}]}}").Fallback)
	want := []policy.HeaderField{{Name: "A", Value: "a b"}, {Name: "B"}}
	if diff := cmp.Diff(want, f.Response.Headers); diff != "" {
		t.Error(diff)
	}
}

const inRule = `rules: [{name: slow, match: [{methods: [GET]}], fallback: {destination: {service: {name: inventory, namespace: warehouse, port: metrics}}}}]`

// What calls fall back on is resolved: namespaces, and ports by their numbers.
//
//enforces:agent fallback.destination.service.namespace
func TestFallbackDestinationsAreResolved(t *testing.T) {
	service := func(name string, ports ...uint16) policy.Target {
		return policy.Target{Kind: policy.TargetService, Service: name, Ports: ports}
	}
	for name, tc := range map[string]struct {
		bodies []string // of policies, the least significant first
		want   []policy.Target
	}{
		"a Service of the policy's own namespace": {[]string{`fallback: {destination: {service: {name: inventory}}}`}, []policy.Target{service("shop/inventory")}},
		"of another, with a port by its name": {
			[]string{`fallback: {destination: {service: {name: inventory, namespace: warehouse, port: http}}}`}, []policy.Target{service("warehouse/inventory", 80)},
		},
		"in a rule": {[]string{inRule}, []policy.Target{service("warehouse/inventory", 9090)}},
		"a host":    {[]string{`fallback: {destination: {host: EU.example, port: 8443}}`}, []policy.Target{{Kind: policy.TargetHost, Host: "eu.example", Ports: []uint16{8443}}}},
		"a later destination takes the place of an earlier one, whatever that says": {
			[]string{`fallback: {destination: {service: {name: inventory, namespace: warehouse, port: http}}}`, `fallback: {destination: {service: {name: inventory}}}`},
			[]policy.Target{service("shop/inventory")},
		},
		"a later host": {
			[]string{`fallback: {destination: {service: {name: inventory}}}`, `fallback: {destination: {host: eu.example}}`},
			[]policy.Target{{Kind: policy.TargetHost, Host: "eu.example"}},
		},
		"a later response":  {[]string{`fallback: {destination: {service: {name: inventory}}}`, `fallback: {response: {statusCode: 204}}`}, nil},
		"that is taken off": {[]string{`fallback: {destination: {service: {name: inventory}}}`, `fallback: {mode: Disabled}`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var policies []*Policy
			for i, text := range tc.bodies {
				src := Source{ID: policy.ParseID("shop/" + string(rune('a'+i))), Level: LevelNamespace + Level(i), To: to(host("api.example")), Body: body(t, text)}
				before := src.Body.DeepCopy()
				p, problems := Read(src, services, NoReferences)
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				if diff := cmp.Diff(before, src.Body); diff != "" {
					t.Errorf("the resource was changed:\n%s", diff)
				}
				policies = append(policies, p)
			}
			if diff := cmp.Diff(tc.want, backupsOf(Compile("p", policies)), prefixes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsWrongWithAFallbackDestination(t *testing.T) {
	for name, tc := range map[string]struct {
		give, reason, message string
	}{
		"missing Service": {
			`fallback: {destination: {service: {name: gone, namespace: warehouse}}}`, v1alpha1.ReasonServiceNotFound,
			"fallback.destination: there is no Service gone in namespace warehouse; create it, or correct the name.",
		},
		"missing port": {
			`rules: [{name: slow, match: [{methods: [GET]}], fallback: {destination: {service: {name: inventory, port: grpc}}}}]`, v1alpha1.ReasonPortNotFound,
			"rules[slow].fallback.destination: Service shop/inventory has no port grpc; it has http=80, metrics=9090.",
		},
		"a Service without addresses": {
			`fallback: {destination: {service: {name: partner}}}`, v1alpha1.ReasonInvalid,
			"fallback.destination: Service shop/partner is of type ExternalName, so it has no addresses; write host instead, with the name that it stands for.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source{ID: policy.ParseID("shop/p"), Level: LevelNamespace, To: to(anyOf()), Body: body(t, tc.give), Generation: 3, InForce: 3}
			_, problems := Read(src, services, NoReferences)
			if diff := cmp.Diff([]Problem{{tc.reason, tc.message}}, problems); diff != "" {
				t.Error(diff)
			}
			p := RestoreLastGood(src, services)
			if got := backupsOf(Compile("p", []*Policy{p})); len(got) > 0 {
				t.Errorf("restored with %v", got)
			}
		})
	}
}

// A cluster's policy means the Service of each caller's namespace, and falls back on nothing where that lacks it.
func TestAFallbackDestinationOfTheCallersOwnNamespace(t *testing.T) {
	src := Source{
		ID: policy.ParseID("base"), Level: LevelDefaults, To: to(anyOf()),
		Body: body(t, `{fallback: {destination: {service: {name: inventory, port: http}}}}`),
	}
	p, problems := Read(src, services, NoReferences)
	if problems != nil || !p.Relative() {
		t.Fatalf("relative %v, problems %v", p.Relative(), problems)
	}
	if diff := cmp.Diff([]string{"*/inventory"}, Services(&src)); diff != "" {
		t.Error(diff)
	}
	want := []policy.Target{{Kind: policy.TargetService, Service: "shop/inventory", Ports: []uint16{80}}}
	if diff := cmp.Diff(want, backupsOf(Compile("p", []*Policy{p.In("shop", services)})), prefixes); diff != "" {
		t.Error(diff)
	}
	if got := backupsOf(Compile("p", []*Policy{p.In("elsewhere", services)})); len(got) > 0 {
		t.Errorf("elsewhere: %v", got)
	}
}
