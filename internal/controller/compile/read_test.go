package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func TestReadFindsWhatTheSchemaCannot(t *testing.T) {
	tests := map[string]struct {
		give Source
		want []Problem
	}{
		"missing Service": {
			give: Source{To: to(service("warehouse", "gone", 80))},
			want: []Problem{{v1alpha1.ReasonServiceNotFound, "to[0]: there is no Service gone in namespace warehouse; create it, or correct the name."}},
		},
		"missing ports, by name and by number": {
			give: Source{To: to(service("", "inventory", "grpc"), service("", "inventory", 81))},
			want: []Problem{
				{v1alpha1.ReasonPortNotFound, "to[0]: Service shop/inventory has no port grpc; it has http=80, metrics=9090."},
				{v1alpha1.ReasonPortNotFound, "to[1]: Service shop/inventory has no port 81; it has http=80, metrics=9090."},
			},
		},
		"a Service that is a name for something elsewhere": {
			give: Source{To: to(service("shop", "partner", nil))},
			want: []Problem{{v1alpha1.ReasonInvalid,
				"to[0]: Service shop/partner is of type ExternalName, so it has no addresses to know its calls by; write host instead, with the name that pods call."}},
		},
		"selector": {
			give: Source{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "c"}}},
			want: []Problem{{v1alpha1.ReasonInvalidSelector, `podSelector is not a label selector: key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]').`}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.give.ID = policy.ParseID("shop/p")
			p, problems := Read(tc.give, services, NoReferences)
			if p != nil {
				t.Error("a policy with problems was read")
			}
			if diff := cmp.Diff(tc.want, problems); diff != "" {
				t.Error(diff)
			}
		})
	}
}

//enforces:agent to[].service.namespace
func TestServiceOfTheCallersOwnNamespace(t *testing.T) {
	src := Source{ID: policy.ParseID("base"), To: to(service("", "inventory", "http"), anyOf()), Body: &v1alpha1.PolicyBody{}}
	p, problems := Read(src, services, NoReferences)
	if problems != nil || !p.Relative() {
		t.Fatalf("relative %v, problems %v", p.Relative(), problems)
	}
	if diff := cmp.Diff([]string{"*/inventory"}, Services(&src)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"service shop/inventory [80] <- base: 2 0s", "any [] <- base: 2 0s"},
		summary(Compile("p", []*Policy{p.In("shop", services)}))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"any [] <- base: 2 0s"}, summary(Compile("p", []*Policy{p.In("elsewhere", services)}))); diff != "" {
		t.Error(diff)
	}
}

func TestResolveConflictsLetsTheOlderWin(t *testing.T) {
	older := given{id: "shop/z", level: LevelPods, created: 1, to: to(host("a.example", 80), anyOf())}.read(t)
	newer := given{id: "shop/a", level: LevelPods, created: 2, to: to(host("b.example"), host("a.example", 80, 81))}.read(t)
	otherLevel := given{id: "shop/n", level: LevelNamespace, created: 3, to: to(anyOf())}.read(t)
	moreSpecific := given{id: "shop/s", level: LevelPods, created: 3, to: to(host("a.example"), anyOf(80))}.read(t)
	lastGood := given{id: "shop/a", level: LevelPods, created: 2, to: to(host("b.example"))}.read(t)

	verdicts := ResolveConflicts([]Candidate{
		{ID: newer.ID, Current: newer, LastGood: lastGood},
		{ID: otherLevel.ID, Current: otherLevel},
		{ID: older.ID, Current: older},
		{ID: moreSpecific.ID, Current: moreSpecific},
	})
	if v := verdicts[0]; v.InForce != lastGood || v.Conflict == nil || v.Conflict.With != older.ID {
		t.Errorf("the newer: %+v", v)
	} else if got := v.Conflict.Problem().Message; got != "The older policy shop/z has the same selector and the destination a.example:80,81: remove the destination from one of them, or select other pods." {
		t.Errorf("message %q", got)
	}
	for i, p := range []*Policy{otherLevel, older, moreSpecific} {
		if v := verdicts[i+1]; v.InForce != p || v.Conflict != nil {
			t.Errorf("%s: %+v", p.ID, v)
		}
	}
}

func TestResolveConflictsKeepsTheLastGoodVersion(t *testing.T) {
	good := given{id: "shop/a", level: LevelPods, created: 1, to: to(anyOf())}.read(t)
	v := ResolveConflicts([]Candidate{{ID: good.ID, LastGood: good}})[0]
	if v.InForce != good || v.Conflict != nil {
		t.Errorf("got %+v", v)
	}
}

func TestWarnings(t *testing.T) {
	tests := map[string]struct {
		give string
		want []string
	}{
		"nothing to say": {give: `timeouts: {perTry: 1s, overall: 10s}`},
		"attempts that do not fit": {
			give: `{timeouts: {perTry: 4s, overall: 10s}, retry: {maxRetries: 2, backoff: {initialInterval: 100ms}}}`,
			want: []string{"3 attempts of timeouts.perTry 4s with their backoff can take 12.3s, longer than timeouts.overall 10s: later retries will not start."},
		},
		"waits that grow beyond all bounds": {
			give: `{timeouts: {perTry: 1s, overall: 1m}, retry: {maxRetries: 10, backoff: {initialInterval: 10s, maxInterval: 10s, multiplier: "10"}}}`,
			want: []string{"11 attempts of timeouts.perTry 1s with their backoff can take 1m51s, longer than timeouts.overall 1m0s: later retries will not start."},
		},
		"only in a rule": {
			give: `{timeouts: {perTry: 1s, overall: 10s}, rules: [{name: r, match: [{methods: [GET]}], retry: {budget: {percent: 0, minRetriesPerSecond: 0}}}]}`,
			want: []string{"Rule r: retry.budget allows no retries at all, so retry.maxRetries 2 never counts."},
		},
		"in base and rule alike, said once": {
			give: `{retry: {when: [PerTryTimeout]}, rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 1}}]}`,
			want: []string{"retry.when names PerTryTimeout, which never happens without timeouts.perTry, timeouts.adaptive or timeouts.responseHeader."},
		},
		"an adaptive timeout is one of attempts": {
			give: `{timeouts: {overall: 3s, perTry: 2s, adaptive: {min: 1ms, max: 2s}}, retry: {when: [PerTryTimeout]}, circuitBreaker: {slowCalls: {threshold: 2s}}}`,
			want: []string{"circuitBreaker.slowCalls.threshold 2s is not shorter than timeouts.adaptive.max 2s: no attempt is ever slow."},
		},
		"nobody waits for a connection without limits": {
			give: `{timeouts: {overall: 1s}, retry: {maxRetries: 0}}`,
		},
		"a cause that nobody sees": {
			give: `retry: {when: [ConnectFailure, DNSFailure]}`,
			want: []string{"retry.when names DNSFailure, which happens only where agents look up the name of a proxy (to[].via), and no destination here has one: pods resolve other names themselves, before they call."},
		},
		"a cause that nobody sees, in an override": {
			give: `retry: {overrides: [{when: [DNSFailure], maxRetries: 1}]}`,
			want: []string{"retry.when names DNSFailure, which happens only where agents look up the name of a proxy (to[].via), and no destination here has one: pods resolve other names themselves, before they call."},
		},
		"gRPC statuses of calls that nothing lets be repeated": {
			give: `{retry: {grpcStatuses: [UNAVAILABLE]}, rules: [{name: r, match: [{methods: [GET]}], retry: {idempotency: {mode: SafeMethods}}}]}`,
			want: []string{"retry.grpcStatuses never lead to a retry: gRPC calls are POST requests, which retry.idempotency.mode lets be repeated with Any or IdempotentOrKeyed alone. Set Any in a rule for the gRPC methods that bear it."},
		},
		"gRPC statuses in an override": {
			give: `{retry: {overrides: [{grpcStatuses: [INTERNAL], maxRetries: 1}]}}`,
			want: []string{"retry.grpcStatuses never lead to a retry: gRPC calls are POST requests, which retry.idempotency.mode lets be repeated with Any or IdempotentOrKeyed alone. Set Any in a rule for the gRPC methods that bear it."},
		},
		"gRPC statuses, and a rule for what bears it": {
			give: `{retry: {grpcStatuses: [UNAVAILABLE]}, rules: [{name: r, match: [{grpc: {method: Get}}], retry: {idempotency: {mode: Any}}}]}`,
		},
		"gRPC statuses of calls that are keyed": {give: `retry: {grpcStatuses: [UNAVAILABLE], idempotency: {mode: IdempotentOrKeyed}}`},
		"an endpoint's breaker that does nothing": {
			give: `{loadBalancing: {policy: ClusterIP}, rules: [{name: r, match: [{methods: [GET]}], circuitBreaker: {consecutiveFailures: 5, scope: Endpoint, maxEjectedPercent: 0, sharing: Cluster}}]}`,
			want: []string{
				"circuitBreaker.sharing: Cluster acts as Node with scope: Endpoint: each node judges endpoints by its own calls.",
				"circuitBreaker.maxEjectedPercent 0 lets no endpoint be ejected, so the circuitBreaker does nothing.",
				"circuitBreaker.scope: Endpoint does nothing with loadBalancing.policy: ClusterIP: the cluster chooses the endpoints.",
			},
		},
		"an endpoint's breaker": {give: `circuitBreaker: {consecutiveFailures: 5, scope: Endpoint, maxEjectedPercent: 30}`},
		"no call is slow before its deadline": {
			give: `{timeouts: {overall: 2s}, circuitBreaker: {slowCalls: {threshold: 2s}}}`,
			want: []string{"circuitBreaker.slowCalls.threshold 2s is not shorter than timeouts.overall 2s: no attempt is ever slow."},
		},
		"pool and breaker": {
			give: `{timeouts: {overall: 1s, perTry: 500ms}, retry: {maxRetries: 0}, circuitBreaker: {slowCalls: {threshold: 1s}}, connectionPool: {maxConnections: 9}}`,
			want: []string{
				"connectionPool.pendingTimeout 1s is not shorter than timeouts.overall 1s: a call that waits for a connection has no time left.",
				"circuitBreaker.slowCalls.threshold 1s is not shorter than timeouts.perTry 500ms: no attempt is ever slow.",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Warnings(&Source{Body: body(t, tc.give)})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Agents look up the names of proxies, so whoever names one may wait for the DNS; an address is none.
func TestDNSFailuresOfProxiesAreSeen(t *testing.T) {
	for proxy, warned := range map[string]bool{"proxy.corp.example:3128": false, "192.0.2.1:3128": true, "[2001:db8::1]:3128": true, "": true} {
		src := &Source{Body: body(t, `retry: {when: [DNSFailure]}`), To: []v1alpha1.Destination{{Host: "a.example"}, {Host: "b.example"}}}
		if proxy != "" {
			src.To[1].Via = &v1alpha1.Via{Proxy: proxy}
		}
		if got := Warnings(src); len(got) > 0 != warned {
			t.Errorf("by %q: %q", proxy, got)
		}
	}
}

// Where each address is a destination there are no endpoints to tell apart.
func TestEndpointBreakersOfBlocks(t *testing.T) {
	for scope, warned := range map[string]bool{"Endpoint": true, "Destination": false} {
		src := &Source{Body: body(t, "circuitBreaker: {consecutiveFailures: 5, scope: "+scope+"}"), To: []v1alpha1.Destination{cidr("10.0.0.0/8")}}
		if got := Warnings(src); len(got) > 0 != warned {
			t.Errorf("%s: %q", scope, got)
		}
	}
}

func TestOverlapNamesBlocks(t *testing.T) {
	read := func(text string) *Policy { return &Policy{Source: Source{Body: body(t, text)}} }
	a := read(`{timeouts: {perTry: 1s}, retry: {maxRetries: 1}, connectionPool: {maxConnections: 1}, failurePolicy: Open}`)
	b := read(`{timeouts: {overall: 1s}, retry: {maxRetries: 2}, connectionPool: {maxConnections: 1}}`)
	if diff := cmp.Diff([]string{"retry", "connectionPool"}, Overlap(a, b)); diff != "" {
		t.Error(diff)
	}
	c := read(`{rules: [{name: r, match: [{methods: [POST]}], retry: {maxRetries: 9}, timeouts: {perTry: 5s}}]}`)
	for _, got := range [][]string{Overlap(c, b), Overlap(b, c)} {
		if diff := cmp.Diff([]string{"retry"}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDestinations(t *testing.T) {
	p := given{id: "shop/a", level: LevelPods, to: to(service("warehouse", "inventory", "http"), host("a.example"), host("a.example", 8443),
		cidr("10.0.0.0/8"), anyOf(80), anyOf())}.read(t)
	var labels []string
	for _, d := range p.Destinations() {
		labels = append(labels, d.Label)
	}
	if diff := cmp.Diff([]string{"warehouse/inventory:80", "a.example", "a.example:8443", "10.0.0.0/8", "any ports 80", "any"}, labels); diff != "" {
		t.Error(diff)
	}
}

// What a destination is declared to speak arrives, whichever of the two fields says so.
//
//enforces:agent to[].cidr.protocol
func TestProtocolsOfDestinations(t *testing.T) {
	declared := host("a.example", 8443)
	declared.Protocol = v1alpha1.ProtocolHTTP
	block := cidr("10.0.0.0/8")
	block.CIDR.Protocol = v1alpha1.ProtocolHTTP
	p := compileAll(t, given{id: "shop/a", level: LevelPods, to: to(declared, host("b.example"), block, cidr("10.0.0.0/9"))})
	got := map[string]policy.Protocol{}
	for _, b := range p.Bindings {
		got[b.To.String()] = b.To.Protocol
	}
	want := map[string]policy.Protocol{
		"host a.example": policy.ProtocolHTTP, "host b.example": policy.ProtocolAuto, "cidr 10.0.0.0/8": policy.ProtocolHTTP,
		"cidr 10.0.0.0/9": policy.ProtocolAuto,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
