package policies

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
)

const head = "apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nmetadata: {name: p}\n"

func one(text string) []File { return []File{{Name: "p.yaml", Text: []byte(text)}} }

func options(services ...string) Options {
	all, err := ParseServices(services)
	if err != nil {
		panic(err)
	}
	return Options{Namespace: "shop", Command: "curl", Services: all, Now: time.Unix(1, 0)}
}

// What cannot be used is said with what to write instead.
func TestProblemsSayWhatToWrite(t *testing.T) {
	const ask = "say where it is with --service inventory.warehouse:PORT=HOST:PORT, or write host in place of service."
	for name, tc := range map[string]struct {
		text string
		with []string
		want string
	}{
		"nothing":            {text: "", want: "no RetryPolicy and no ClusterRetryPolicy is in what -f names: name a file with one, config/samples has some."},
		"something else":     {text: "kind: Deployment\n", want: "no RetryPolicy and no ClusterRetryPolicy is in what -f names"},
		"no YAML":            {text: "kind: [", want: "p.yaml: document 1: this is not YAML: "},
		"another version":    {text: "apiVersion: policy.fairlead.dev/v9\nkind: RetryPolicy\n", want: `p.yaml: document 1: apiVersion "policy.fairlead.dev/v9" of a RetryPolicy is not known here; write policy.fairlead.dev/v1alpha1`},
		"a field misspelt":   {text: head + "spec: {to: [{any: {}}], retrys: {}}\n", want: `unknown field "spec.retrys"`},
		"no name":            {text: "apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nspec: {to: [{any: {}}]}\n", want: "the RetryPolicy has no metadata.name; give it one"},
		"a Service":          {text: head + "spec: {to: [{service: {name: inventory, namespace: warehouse}}]}\n", want: "p.yaml: shop/p names Service warehouse/inventory, and there is no cluster here to look it up in: " + ask},
		"a fallback's":       {text: head + "spec: {to: [{host: a.example}], fallback: {when: [BreakerOpen], destination: {service: {name: inventory, namespace: warehouse, port: 80}}}}\n", want: ask},
		"one without a port": {text: head + "spec: {to: [{service: {name: inventory, namespace: warehouse, port: 81}}]}\n", with: []string{"inventory.warehouse:80=127.0.0.1:1"}, want: "to[0]: Service warehouse/inventory has no port 81; it has 80."},
		"a missing CA":       {text: head + "spec: {to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {name: ca}}}]}\n", want: "there is no ConfigMap ca in namespace shop; create it, or correct the name."},
		"a conflict":         {text: head + "spec: {to: [{host: a.example}]}\n---\n" + strings.Replace(head, "name: p", "name: q", 1) + "spec: {to: [{host: a.example}]}\n", want: "shop/q: The older policy shop/p has the same selector and the destination a.example"},
	} {
		t.Run(name, func(t *testing.T) {
			set, problems := Read(one(tc.text), options(tc.with...))
			if got := strings.Join(problems, "\n"); set != nil || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Each document of each file counts, and those that dry runs and selectors leave aside are counted apart.
func TestPoliciesOfFiles(t *testing.T) {
	files := []File{
		{"a.yaml", []byte("kind: Deployment\n---\n" + head + "spec: {podSelector: {matchLabels: {app: a}}, to: [{host: a.example}], retry: {maxRetries: 7}}\n")},
		{"b.yaml", []byte(strings.Replace(head, "name: p", "name: q", 1) + "spec: {mode: DryRun, to: [{any: {}}]}\n---\n" +
			strings.Replace(head, "name: p", "name: r", 1) + "spec: {mode: Disabled, to: [{any: {}}]}\n")},
	}
	for name, tc := range map[string]struct {
		labels map[string]string
		want   [3]int
	}{
		"without labels":   {nil, [3]int{2, 1, 0}},
		"with its labels":  {map[string]string{"app": "a"}, [3]int{2, 1, 0}},
		"with other ones":  {map[string]string{"app": "b"}, [3]int{1, 1, 1}},
		"with none at all": {map[string]string{}, [3]int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Labels = tc.labels
			set, problems := Read(files, o)
			if problems != nil {
				t.Fatal(problems)
			}
			if got := [3]int{set.Policies, set.DryRuns, set.Unselected}; got != tc.want {
				t.Errorf("policies, dry runs and unselected are %v, want %v", got, tc.want)
			}
			bindings := set.Snapshot.Profiles[profile].Bindings
			if tc.want[0] == 2 && (bindings[0].Base.Retry.MaxRetries != 7 || bindings[0].To.Host != "a.example") {
				t.Errorf("the first binding is %+v", bindings[0])
			}
		})
	}
}

// What a policy says for a time only holds as in a cluster, and is refused as there.
func TestWhatHoldsForATime(t *testing.T) {
	annotated := strings.Replace(head, "name: p", `name: p, annotations: {policy.fairlead.dev/circuit-breaker: "open until %s"}`, 1) +
		"spec: {to: [{host: a.example}], circuitBreaker: {consecutiveFailures: 5}}\n"
	const faulty = head + `spec: {to: [{host: a.example}], faults: {until: "%s", percent: 1, abort: {type: Reset}}}` + "\n"
	for _, text := range []string{annotated, faulty} {
		for until, want := range map[string]string{"1970-01-01T10:00:00Z": "", "1970-01-03T00:00:00Z": "more than 24 hours after it was written"} {
			set, problems := Read(one(fmt.Sprintf(text, until)), options())
			if want != "" {
				if !strings.Contains(strings.Join(problems, "\n"), want) {
					t.Errorf("%s: %q", until, problems)
				}
				continue
			}
			if problems != nil {
				t.Fatal(problems)
			}
			b := set.Snapshot.Profiles[profile].Bindings[0]
			if forced := b.ForcedBreaker; text == annotated && (!forced.Open || forced.End().Format(time.RFC3339) != until) || text == faulty && b.Base.Faults == nil {
				t.Errorf("%s: the binding is %+v", until, b)
			}
		}
	}
}

// Where one node is the whole cluster it has all of what a cluster shares.
func TestLimitsAreNotShared(t *testing.T) {
	const limit = "rateLimit: {requests: 100, scope: Cluster}"
	set, problems := Read(one(head+"spec: {to: [{host: a.example}], "+limit+", rules: [{name: r, match: [{methods: [GET]}], "+limit+"}]}\n"), options())
	if problems != nil {
		t.Fatal(problems)
	}
	b := set.Snapshot.Profiles[profile].Bindings[0]
	for _, s := range []*policy.Settings{&b.Base, &b.Rules[0].Settings} {
		if s.RateLimit.Requests != 100 || s.RateLimit.Scope != policy.ShareNode {
			t.Errorf("the limit is %+v", s.RateLimit)
		}
	}
}

// What does not hold without a cluster is said.
func TestInterceptionIsWarnedOf(t *testing.T) {
	set, problems := Read(one(head+"spec: {to: [{host: a.example, tls: {mode: Intercept, caBundleRef: {kind: System}}}]}\n"), options())
	if problems != nil || len(set.Warnings) == 0 || !strings.Contains(strings.Join(set.Warnings, " "), "write Originate") {
		t.Errorf("%v, %v", set, problems)
	}
}

func TestServicesAreParsed(t *testing.T) {
	got, err := ParseServices([]string{"inventory.warehouse:80=127.0.0.1:9000", "inventory.warehouse.svc:81/grpc=[::1]:1,localhost:2", "inventory.warehouse:80=127.0.0.1:9001"})
	at := netip.MustParseAddrPort
	want := []Service{{Name: "inventory", Namespace: "warehouse", Ports: []ServicePort{
		{Port: 80, At: []netip.AddrPort{at("127.0.0.1:9000"), at("127.0.0.1:9001")}},
		{Port: 81, Name: "grpc", At: []netip.AddrPort{at("[::1]:1"), at("127.0.0.1:2")}},
	}}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "inventory:80=127.0.0.1:1", "inventory.w=127.0.0.1:1", "inventory.w:x=127.0.0.1:1", "inventory.w:0=127.0.0.1:1", "a.b:1=host:1", "a.b:1=127.0.0.1", "a.b:1="} {
		if _, err := ParseServices([]string{bad}); err == nil || !strings.Contains(err.Error(), "write it as inventory.warehouse:80=127.0.0.1:9000") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestServicesAreFoundByTheirNames(t *testing.T) {
	all := options("inventory.warehouse:80=127.0.0.1:9000", "cart.shop:80=127.0.0.1:9001").Services
	for host, want := range map[string]string{
		"inventory.warehouse": "198.19.255.1", "Inventory.Warehouse.SVC.cluster.local.": "198.19.255.1", "cart": "198.19.255.2", "inventory": "", "a.example": "",
	} {
		a, ok, err := ServiceAddress(all, "shop", host, 80)
		if ok != (want != "") || ok && a.String() != want || err != nil {
			t.Errorf("%s: %v, %v, %v", host, a, ok, err)
		}
	}
	if _, _, err := ServiceAddress(all, "shop", "inventory.warehouse", 81); err == nil || !strings.Contains(err.Error(), "--service inventory.warehouse:81=") {
		t.Error(err)
	}
	for to, want := range map[string]string{"198.19.255.1:80": "127.0.0.1:9000", "198.19.255.2:80": "127.0.0.1:9001", "192.0.2.1:80": "192.0.2.1:80"} {
		if got := Direct(all, netip.MustParseAddrPort(to)); got.String() != want {
			t.Errorf("%s leads to %s", to, got)
		}
	}
}
