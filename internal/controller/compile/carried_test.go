package compile

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// callBlocksCarried sets every field of the blocks that may stand in a rule, each so that it counts.
const callBlocksCarried = `
timeouts:
  connect: 1s
  tlsHandshake: 2s
  perTry: 3s
  responseHeader: 4s
  idle: 5s
  read: 6s
  write: 7s
  overall: 8s
  maxDuration: 9s
  adaptive: {mode: Enabled, min: 1s, max: 2s, deviations: "2.5", window: 50}
retry:
  maxRetries: 3
  when: [Reset, Conflict]
  statusCodes: ["418", "421"]
  responseHeaders: [{name: x-again, value: "yes"}]
  grpcStatuses: [UNAVAILABLE, ABORTED]
  overrides:
  - {when: [ServerError], statusCodes: ["425"], grpcStatuses: [INTERNAL], maxRetries: 1,
     backoff: {strategy: Linear, initialInterval: 3s, maxInterval: 4s, multiplier: "1.5", jitter: Proportional, jitterPercent: 20}}
  backoff: {strategy: Exponential, initialInterval: 1s, maxInterval: 5s, multiplier: "2.5", jitter: Additive, jitterPercent: 30}
  retryAfter: {honor: true, max: 5s}
  idempotency: {mode: IdempotentOrKeyed, keyHeader: x-key, generateKey: true}
  budget: {percent: 20, minRetriesPerSecond: 3, window: 10s}
  body: {maxBytes: 1000}
  avoidPreviousEndpoints: true
  hedging: {delay: 1s, maxHedges: 1}
  alreadyRetried: Ignore
circuitBreaker:
  mode: Enabled
  consecutiveFailures: 5
  errorRate: {percent: 50, minimumRequests: 20, window: 10s}
  slowCalls: {threshold: 1s, percent: 50, minimumRequests: 20, window: 10s}
  failures: {when: [Reset, Conflict], statusCodes: ["418"], grpcStatuses: [INTERNAL, ABORTED]}
  open: {duration: 1s, maxDuration: 5s, jitterPercent: 10}
  halfOpen: {probes: 3, successesToClose: 2}
  scope: Endpoint
  maxEjectedPercent: 40
  sharing: Node
rateLimit: {mode: Enabled, requests: 100, per: 1s, burst: 20, scope: Node, onLimit: Queue, maxWait: 1s}
concurrency: {mode: Enabled, max: 10, maxQueued: 5, maxWait: 1s, scope: Pod}
fallback: {mode: Enabled, when: [CircuitOpen, RetriesExhausted], response: {statusCode: 200, headers: [{name: x-from, value: fallback}], body: "{}"}}
faults:
  mode: Enabled
  until: "2026-11-27T10:00:00Z"
  percent: 10
  delay: {duration: 1s, jitterPercent: 50}
  abort: {type: Response, statusCode: 503, grpcStatus: ABORTED}
`

// carriedSpecs set every field of a spec, as far as one spec can have them together.
var carriedSpecs = map[string]string{
	"a Service, and what is a policy's own": `
to: [{service: {name: inventory, namespace: warehouse, port: 80}, protocol: HTTP}]
failurePolicy: Open
udp443: Allow
loadBalancing: {policy: RoundRobin}
observability: {accessLog: All, tracing: {samplePercent: 7}, requestHeaders: {attempt: true}}
connectionPool:
  maxConnections: 100
  maxConnectionsPerEndpoint: 50
  maxIdlePerEndpoint: 20
  idleTimeout: 10s
  maxLifetime: 20s
  maxRequestsPerConnection: 30
  maxPending: 40
  pendingTimeout: 5s
  http2: {maxConcurrentStreams: 60, pingInterval: 7s, pingTimeout: 8s}
  tcpKeepAlive: {idle: 9s, interval: 10s, probes: 11}
` + callBlocksCarried,
	"a rule": `
to: [{any: {}}]
rules:
- name: r
  match:
  - {methods: [GET, PUT], path: {type: Exact, value: /a}, host: a.example, headers: [{name: x-tier, type: Exact, value: gold}]}
  - {grpc: {service: shop.v1.Inventory, method: Get}}
  ` + strings.TrimSpace(strings.ReplaceAll(callBlocksCarried, "\n", "\n  ")),
	"a host over TLS": `
to:
- host: a.example
  ports: [443, 8443]
  protocol: HTTP
  tls: {mode: Originate, sni: b.example, port: 444, caBundleRef: {kind: ConfigMap, name: ca, key: ca.crt}, clientCertificateRef: {name: client}}
  via: {mode: Enabled, proxy: "proxy.example:3128", credentialsRef: {name: proxy}}
`,
	"a host whose TLS is intercepted": `
to: [{host: a.example, ports: [443], protocol: HTTP, tls: {mode: Intercept, passthroughAfter: 3}}]
`,
	"a block": `
to: [{cidr: {block: 10.0.0.0/8, except: [10.1.0.0/16], ports: [80, 81], protocol: HTTP}}]
`,
	"a limit found from latency": `
to: [{any: {}}]
concurrency: {adaptive: {min: 5, max: 50}}
rules: [{name: r, match: [{methods: [GET]}], concurrency: {adaptive: {min: 6, max: 60}}}]
`,
	"hedges by how long others took": `
to: [{any: {}}]
retry: {hedging: {percentile: 95, maxHedges: 1}}
rules: [{name: r, match: [{methods: [GET]}], retry: {hedging: {percentile: 90, maxHedges: 1}}}]
`,
	"a Service to fall back on": `
to: [{any: {}}]
fallback: {destination: {service: {name: backup, namespace: standby, port: 80}}}
rules: [{name: r, match: [{methods: [GET]}], fallback: {destination: {service: {name: spare, namespace: standby, port: 80}}}}]
`,
	"a host to fall back on": `
to: [{any: {}}]
fallback: {destination: {host: backup.example, port: 8443}}
rules: [{name: r, match: [{methods: [GET]}], fallback: {destination: {host: spare.example, port: 8443}}}]
`,
}

// otherValues are those of fields whose values have a form of their own.
var otherValues = map[string][]any{
	"to[].service.name": {"other"}, "to[].service.namespace": {"elsewhere"}, "to[].service.port": {"metrics"},
	"to[].host": {"c.example", "*.example"}, "to[].via.proxy": {"other.example:3128", "proxy.example:3129"}, "to[].via.credentialsRef.name": {"other"},
	"to[].cidr.block": {"10.0.0.0/9"}, "to[].cidr.except": {[]any{"10.2.0.0/16"}, []any{"10.1.0.0/16", "10.2.0.0/16"}},
	"to[].tls.sni": {"c.example"}, "to[].tls.caBundleRef.name": {"other"}, "to[].tls.caBundleRef.key": {"bundle.pem"}, "to[].tls.clientCertificateRef.name": {"other"},
	"timeouts.adaptive.deviations":         {"3"},
	"retry.statusCodes":                    {[]any{"418"}, []any{"4xx"}, []any{"410-418"}},
	"retry.overrides[].statusCodes":        {[]any{"426"}, []any{"5xx"}},
	"retry.responseHeaders[].name":         {"x-more"},
	"retry.responseHeaders[].value":        {"no"},
	"retry.overrides[].backoff.multiplier": {"1.75"}, "retry.backoff.multiplier": {"3"}, "retry.idempotency.keyHeader": {"x-other"},
	"circuitBreaker.failures.statusCodes": {[]any{"419"}, []any{"4xx"}},
	"fallback.response.headers[].name":    {"x-other"}, "fallback.response.headers[].value": {"other"}, "fallback.response.body": {"[]"},
	"fallback.destination.service.name": {"other"}, "fallback.destination.service.namespace": {"elsewhere"}, "fallback.destination.service.port": {"metrics"},
	"fallback.destination.host": {"other.example"}, "faults.until": {"2026-11-27T10:00:00+01:00"},
	"rules[].name": {"other"}, "rules[].match[].methods": {[]any{"PUT"}, []any{"GET", "POST"}}, "rules[].match[].path.value": {"/b"},
	"rules[].match[].host": {"b.example", "*.example"}, "rules[].match[].headers[].name": {"x-other"}, "rules[].match[].headers[].value": {"silver"},
	"rules[].match[].grpc.service": {"shop.v1.Orders"}, "rules[].match[].grpc.method": {"List"},
}

// carriedElsewhere are the fields that say whom a policy concerns and since when, rather than what becomes of calls: index and rollout go by them.
var carriedElsewhere = []string{"mode", "podSelector", "namespaceSelector", "rollout.percent", "rollout.observe", "rollout.abortOn.successRateDropPercent"}

// Whatever users write makes a difference to what agents are sent: each value of each field another one. What gets lost on the way to policy.Settings
// no test of an agent can miss. Alone, and as the one thing that a later policy says.
func TestEveryValueOfEveryFieldIsCarried(t *testing.T) {
	enums := enumsOf(t)
	carried := map[string]bool{}
	for name, text := range carriedSpecs {
		t.Run(name, func(t *testing.T) {
			find := findsAnything(t)
			var spec map[string]any
			if err := yaml.UnmarshalStrict([]byte(text), &spec); err != nil {
				t.Fatal(err)
			}
			leaves(spec, func(path string, inRule bool, value any, set func(any)) {
				values := append([]any{value}, otherThan(t, path, value, enums[path])...)
				var compiled []*policy.Profile
				for _, v := range values {
					set(v)
					compiled = append(compiled, compileSpecs(t, find, spec))
				}
				set(value)
				carried[path] = true
				if inRule {
					carried["rules[]."+path] = true
				}
				for i, a := range compiled {
					for j, b := range compiled[:i] {
						if sameProfile(a, b) {
							t.Errorf("%s: %v and %v come to the same", path, values[j], values[i])
						}
					}
				}
			})
		})
	}
	for _, f := range Fields() {
		if f.Path == "to[].any" || slices.Contains(carriedElsewhere, f.Path) {
			continue
		}
		block, _, _ := strings.Cut(f.Path, ".")
		mayBeInRule := slices.Contains([]string{"timeouts", "retry", "circuitBreaker", "rateLimit", "concurrency", "fallback", "faults"}, block)
		if !carried[f.Path] || mayBeInRule && !carried["rules[]."+f.Path] {
			t.Errorf("%s: no spec here sets it; write it into those that every field is in", f.Path)
		}
	}
}

// A later policy that says one thing changes that one thing, whatever the earlier ones say.
func TestEveryFieldIsMergedAlone(t *testing.T) {
	enums, find := enumsOf(t), findsAnything(t)
	for _, name := range []string{"a Service, and what is a policy's own", "a limit found from latency", "hedges by how long others took", "a Service to fall back on", "a host to fall back on"} {
		t.Run(name, func(t *testing.T) {
			var spec map[string]any
			if err := yaml.UnmarshalStrict([]byte(carriedSpecs[name]), &spec); err != nil {
				t.Fatal(err)
			}
			delete(spec, "rules")
			nothing := map[string]any{"to": spec["to"]}
			leaves(spec, func(path string, _ bool, value any, set func(any)) {
				if strings.HasPrefix(path, "to[]") {
					return
				}
				for _, v := range otherThan(t, path, value, enums[path]) {
					set(v)
					want := compileSpecs(t, find, spec, nothing)
					later := copyOf(t, patchOf(spec, path))
					later["to"] = spec["to"]
					set(value)
					if got := compileSpecs(t, find, spec, later); !sameProfile(got, want) {
						t.Errorf("%s: %v over %v: %s", path, v, value, cmp.Diff(want, got, comparing))
					}
				}
			})
		})
	}
}

// patchOf returns a part of a spec: a field, or what it is in that is replaced as a whole: a list of blocks, or a destination.
func patchOf(spec map[string]any, path string) map[string]any {
	name, rest, deeper := strings.Cut(path, ".")
	if list, ok := strings.CutSuffix(name, "[]"); ok || !deeper || name == "destination" || name == "faults" {
		return map[string]any{list: spec[list]}
	}
	return map[string]any{name: patchOf(spec[name].(map[string]any), rest)}
}

func copyOf(t *testing.T, spec map[string]any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// enumsOf are the values that the CRD lists, by field.
func enumsOf(t *testing.T) map[string][]string {
	t.Helper()
	enums := map[string][]string{}
	fieldsOf(t, "retrypolicies", func(path string, s schema) {
		if enums[path] = s.Enum; s.Items != nil {
			enums[path] = s.Items.Enum
		}
	})
	return enums
}

// leaves visits the values in a spec, with a function that sets each.
func leaves(spec map[string]any, visit func(path string, inRule bool, value any, set func(any))) {
	visitLeaves(spec, "", false, nil, visit)
}

func visitLeaves(v any, path string, inRule bool, set func(any), visit func(path string, inRule bool, value any, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at, in := path+"."+name, inRule
			switch {
			case path == "":
				at = name
			case path == "rules[]" && name != "name" && name != "match":
				at, in = name, true
			}
			visitLeaves(v[name], at, in, func(x any) { v[name] = x }, visit)
		}
		return
	case []any:
		if _, blocks := v[0].(map[string]any); blocks {
			for i := range v {
				visitLeaves(v[i], path+"[]", inRule, func(x any) { v[i] = x }, visit)
			}
			return
		}
	}
	visit(path, inRule, v, set)
}

// otherThan are other values that a field may have.
func otherThan(t *testing.T, path string, value any, enum []string) (others []any) {
	t.Helper()
	if list, ok := otherValues[path]; ok {
		return list
	}
	switch v := value.(type) {
	case bool:
		return []any{!v}
	case float64:
		return []any{v + 1}
	case []any:
		if n, ok := v[len(v)-1].(float64); ok {
			return []any{v[1:], append(slices.Clone(v), n+1)}
		}
		for _, e := range enum {
			if len(v) > 1 || v[0] != e {
				others = append(others, []any{e})
			}
		}
	case string:
		if d, err := time.ParseDuration(v); err == nil && d > 0 {
			return []any{v + "1ms"}
		}
		for _, e := range enum {
			if e != v {
				others = append(others, e)
			}
		}
	}
	if others == nil {
		t.Fatalf("%s: what else than %v can it be? Say so in otherValues.", path, value)
	}
	return others
}

// compileSpecs returns what agents are sent of policies of these specs, each of a level above that of the one before.
func compileSpecs(t *testing.T, find FindReference, specs ...map[string]any) *policy.Profile {
	t.Helper()
	everything := func(string) (*Service, bool) {
		return &Service{Ports: []ServicePort{{"http", 80}, {"metrics", 81}}}, true
	}
	var policies []*Policy
	for i, spec := range specs {
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: string(rune('a' + i))}}
		if err := yaml.UnmarshalStrict(text, &p.Spec); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		src := FromRetryPolicy(p)
		src.Level += Level(i)
		read, problems := Read(src, everything, find)
		if problems != nil {
			t.Fatalf("%s: %v", text, problems)
		}
		policies = append(policies, read)
	}
	return Compile("p", policies)
}

// comparing has addresses compared by their values.
var comparing = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}), cmpopts.EquateEmpty()}

// sameProfile reports whether agents are sent the same.
func sameProfile(a, b *policy.Profile) bool { return cmp.Equal(a, b, comparing) }

// findsAnything finds whatever policies refer to, always with the same content.
func findsAnything(t *testing.T) FindReference {
	t.Helper()
	c := newCertificate(t, "any", year, year)
	there := NewReferent(map[string][]byte{
		"ca.crt": c.chain, "bundle.pem": c.chain, "tls.crt": c.chain, "tls.key": c.key, "username": []byte("u"), "password": []byte("p"),
	})
	there.Now = noon
	return func(Reference) Referent { return there }
}
