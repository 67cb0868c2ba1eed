package apivalidation

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// wholeSpecs have every field of the API between them, each with a value that is accepted.
var wholeSpecs = map[string]string{
	"blocks": `
mode: Enforce
podSelector: {}
rollout: {percent: 10, observe: 5m, abortOn: {successRateDropPercent: 2}}
to: [{service: {name: inventory, namespace: warehouse, port: 80}, protocol: HTTP}]
failurePolicy: Open
udp443: Allow
loadBalancing: {policy: RoundRobin}
observability: {accessLog: All, requestHeaders: {attempt: true}, tracing: {samplePercent: 10}}
connectionPool: {maxConnections: 100, maxConnectionsPerEndpoint: 50, maxIdlePerEndpoint: 20, idleTimeout: 10s, maxLifetime: 20s, maxRequestsPerConnection: 30, maxPending: 40,
  pendingTimeout: 5s, http2: {maxConcurrentStreams: 60, pingInterval: 7s, pingTimeout: 8s}, tcpKeepAlive: {idle: 9s, interval: 10s, probes: 9}}
timeouts: {connect: 1s, tlsHandshake: 1s, perTry: 3s, responseHeader: 3s, idle: 5s, read: 6s, write: 7s, overall: 8s, maxDuration: 9s}
retry:
  maxRetries: 3
  when: [Reset]
  statusCodes: [418]
  responseHeaders: [{name: x-again, value: "yes"}]
  grpcStatuses: [UNAVAILABLE]
  overrides: [{when: [ServerError], statusCodes: [425], grpcStatuses: [INTERNAL], maxRetries: 1,
    backoff: {strategy: Exponential, initialInterval: 3s, maxInterval: 4s, multiplier: "1.5", jitter: Proportional, jitterPercent: 20}}]
  backoff: {strategy: Exponential, initialInterval: 1s, maxInterval: 5s, multiplier: "2.5", jitter: Additive, jitterPercent: 30}
  retryAfter: {honor: true, max: 5s}
  idempotency: {mode: IdempotentOrKeyed, keyHeader: x-key, generateKey: true}
  budget: {percent: 20, minRetriesPerSecond: 3, window: 10s}
  body: {maxBytes: 1000}
  avoidPreviousEndpoints: true
  hedging: {delay: 1s, maxHedges: 1}
  alreadyRetried: Skip
circuitBreaker: {mode: Enabled, consecutiveFailures: 5, errorRate: {percent: 50, minimumRequests: 20, window: 10s},
  slowCalls: {threshold: 1s, percent: 50, minimumRequests: 20, window: 10s}, failures: {when: [Reset], statusCodes: [418], grpcStatuses: [INTERNAL]},
  open: {duration: 1s, maxDuration: 5s, jitterPercent: 10}, halfOpen: {probes: 3, successesToClose: 2}, scope: Endpoint, maxEjectedPercent: 40, sharing: Node}
rateLimit: {mode: Enabled, requests: 100, per: 1s, burst: 20, scope: Node, onLimit: Queue, maxWait: 1s}
concurrency: {mode: Enabled, max: 10, maxQueued: 5, maxWait: 1s, scope: Pod}
fallback: {mode: Enabled, when: [CircuitOpen], response: {statusCode: 200, headers: [{name: x-from, value: fallback}], body: "{}"}}
faults: {mode: Enabled, until: "2026-11-27T10:00:00Z", percent: 10, delay: {duration: 1s, jitterPercent: 50}, abort: {type: Response, statusCode: 503, grpcStatus: ABORTED}}
`,
	"rules": `
rules: [{name: r, match: [{methods: [GET], path: {type: Exact, value: /a}, host: a.example, headers: [{name: x-tier, type: Exact, value: gold}]},
  {grpc: {service: shop.v1.Inventory, method: Get}}], retry: {maxRetries: 0}}]
`,
	"TLS": `
to: [{host: a.example, ports: [443], protocol: HTTP, tls: {mode: Originate, sni: b.example, port: 444, caBundleRef: {kind: ConfigMap, name: ca, key: ca.crt}, clientCertificateRef: {name: client}},
  via: {mode: Enabled, proxy: "proxy.example:3128", credentialsRef: {name: proxy}}}]
`,
	"intercepted":  `to: [{host: a.example, ports: [443], protocol: HTTP, tls: {mode: Intercept, caBundleRef: {kind: System}, passthroughAfter: 3}}]`,
	"a block":      `to: [{cidr: {block: 10.0.0.0/8, except: [10.1.0.0/16], ports: [80], protocol: HTTP}}]`,
	"adaptive":     `{timeouts: {adaptive: {mode: Enabled, min: 1s, max: 2s, deviations: "2.5", window: 50}}, concurrency: {adaptive: {min: 5, max: 50}}, retry: {hedging: {percentile: 95, maxHedges: 1}}}`,
	"by a Service": `fallback: {destination: {service: {name: backup, namespace: standby, port: 80}}}`,
	"by a host":    `fallback: {destination: {host: backup.example, port: 8443}}`,
}

// notWrong are fields that have no wrong value of their own: what is not of their type has a test already, and nothing else can be wrong about them.
var notWrong = []string{".to[].any", ".podSelector"}

// Each field takes what its schema says, up to its bounds, and refuses what is beyond them, by its name.
func TestEveryFieldAcceptsAndRefuses(t *testing.T) {
	needAPIServer(t)
	schemas := fieldSchemas(t)
	tried := map[string]bool{}
	for name, text := range wholeSpecs {
		t.Run(name, func(t *testing.T) {
			spec := parse(t, text)
			mustAccept(t, object(v1alpha1.RetryPolicyKind, copied(t, spec)))
			visit(spec, "", nil, func(path string, value any, set func(any)) {
				s := schemas[path]
				if s == nil {
					return // of a list's entries, or of no field
				}
				tried[path] = true
				bad, good := beyond(s), within(s)
				if len(bad) == 0 && !slices.Contains(notWrong, path) {
					t.Errorf("%s: what would be refused? Bound it.", path)
				}
				for _, v := range bad {
					set(v)
					if named, _ := outcome(t, spec, path); !named {
						t.Errorf("%s: %v is accepted, or refused without its name", path, v)
					}
				}
				for _, v := range good { // other fields may forbid it
					set(v)
					if _, bounded := outcome(t, spec, path); bounded {
						t.Errorf("%s: %v is refused", path, v)
					}
				}
				set(value)
			})
		})
	}
	for _, path := range slices.Sorted(maps.Keys(schemas)) {
		if !tried[path] && !slices.Contains(notWrong, path) {
			t.Errorf("%s: no spec here has it; write it into one that is accepted", path)
		}
	}
}

// fieldSchemas are those of the fields that have values of their own, by their path below spec. What stands in a rule or below defaults and overrides is
// the same there.
func fieldSchemas(t *testing.T) map[string]*apiextensionsv1.JSONSchemaProps {
	t.Helper()
	schemas := map[string]*apiextensionsv1.JSONSchemaProps{}
	for _, c := range loadCRDs(t) {
		if c.kind != v1alpha1.RetryPolicyKind {
			continue
		}
		walk(c.schema, "", func(n node) {
			path, inSpec := strings.CutPrefix(n.path, ".spec.")
			rest, inRule := strings.CutPrefix(path, "rules[].")
			if !inSpec || imported(n.path) || inRule && rest != "name" && !strings.HasPrefix(rest, "match") || n.schema.Type == "object" && n.schema.Properties != nil {
				return
			}
			schemas["."+path] = n.schema
		})
	}
	return schemas
}

// beyond are values that a schema refuses.
func beyond(s *apiextensionsv1.JSONSchemaProps) (bad []any) {
	switch {
	case s.Type == "boolean":
		return []any{"yes"}
	case s.Type == "integer":
		return []any{int64(*s.Minimum) - 1, int64(*s.Maximum) + 1}
	case s.Type == "array":
		if s.MaxItems != nil {
			bad = append(bad, make([]any, *s.MaxItems+1))
		}
		if s.MinItems != nil && *s.MinItems > 0 {
			bad = append(bad, []any{})
		}
	case len(s.Enum) > 0:
		return []any{"Nonsense"}
	case s.Type == "string" || s.XIntOrString:
		if s.MaxLength != nil {
			bad = append(bad, strings.Repeat("x", int(*s.MaxLength)+1))
		}
		if s.MinLength != nil && *s.MinLength > 0 {
			bad = append(bad, "")
		}
		if hasForm(s) {
			bad = append(bad, "\n")
		}
	}
	return bad
}

// within are values that a schema takes: those at its bounds.
func within(s *apiextensionsv1.JSONSchemaProps) (good []any) {
	if s.Type == "integer" {
		return []any{int64(*s.Minimum), int64(*s.Maximum)}
	}
	for _, e := range s.Enum {
		var v any
		if json.Unmarshal(e.Raw, &v) == nil {
			good = append(good, v)
		}
	}
	return good
}

// visit visits the values in a spec and the lists that they are in, with a function that sets each.
func visit(v any, path string, set func(any), each func(path string, value any, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			visit(v[name], path+"."+name, func(x any) { v[name] = x }, each)
		}
	case []any:
		each(path, v, set)
		for i := range v {
			visit(v[i], path+"[]", func(x any) { v[i] = x }, each)
		}
	default:
		each(path, v, set)
	}
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// bounds are the words in which the API server speaks of types, bounds and enums.
var bounds = regexp.MustCompile(`should be|Unsupported value|Too long|Too many|may not be|must be of type|should have at|must have at most|should match`)

// outcome says what becomes of a policy of a spec: of which of its fields something is said, and whether it is about what the schema bounds.
func outcome(t *testing.T, spec map[string]any, path string) (named, bounded bool) {
	t.Helper()
	err := send(t, object(v1alpha1.RetryPolicyKind, copied(t, spec)))
	if err != nil && !apierrors.IsInvalid(err) {
		t.Fatalf("%s: %v", path, err)
	}
	if err == nil {
		return false, false
	}
	for _, c := range causes(err) {
		if at := index.ReplaceAllString(c.Field, "[]"); at == "spec"+path {
			named, bounded = true, bounded || bounds.MatchString(c.Message)
		}
	}
	return named, bounded
}

func copied(t *testing.T, spec map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}
