package apivalidation

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// What needs no rule, because types, bounds, patterns and enums say it.
func TestSchemaRefuses(t *testing.T) {
	needAPIServer(t)
	tests := map[string]struct {
		fragment string
		want     string
	}{
		"a misspelt field":                 {`retry: {maxRetry: 1}`, `unknown field "spec.retry.maxRetry"`},
		"on, which YAML reads as true":     {`retry: {on: [Reset]}`, `unknown field "spec.retry.true"`},
		"a duration that is a number":      {`timeouts: {perTry: 2}`, `must be of type string`},
		"more than ten retries":            {`retry: {maxRetries: 11}`, `should be less than or equal to 10`},
		"fewer than no retries":            {`retry: {maxRetries: -1}`, `should be greater than or equal to 0`},
		"an unknown cause":                 {`retry: {when: [Timeout]}`, `Unsupported value: "Timeout": supported values: "ConnectFailure", "RefusedStream"`},
		"the same cause twice":             {`retry: {when: [Reset, Reset]}`, `Duplicate value: "Reset"`},
		"gRPC status OK":                   {`retry: {grpcStatuses: [OK]}`, `Unsupported value: "OK": supported values: "CANCELLED", "UNKNOWN"`},
		"gRPC status in lower case":        {`retry: {grpcStatuses: [unavailable]}`, `Unsupported value: "unavailable"`},
		"a percentage above 100":           {`retry: {budget: {percent: 101}}`, `should be less than or equal to 100`},
		"a percentage below 0":             {`observability: {tracing: {samplePercent: -1}}`, `should be greater than or equal to 0`},
		"a jitter of 0 percent":            {`retry: {backoff: {jitter: Additive, jitterPercent: 0}}`, `should be greater than or equal to 1`},
		"a factor that is a number":        {`retry: {backoff: {multiplier: 2}}`, `must be of type string`},
		"an unknown mode":                  {`mode: Off`, `must be of type string`},
		"an unknown word for QUIC":         {`udp443: Drop`, `Unsupported value: "Drop": supported values: "Allow", "Reject"`},
		"an unknown protocol":              {`to: [{host: a.example, protocol: HTTP/2}]`, `Unsupported value: "HTTP/2"`},
		"no destination":                   {`to: []`, `should have at least 1 items`},
		"seventeen destinations":           {`to: [` + strings.Repeat(`{any: {}}, `, 16) + `{any: {}}]`, `must have at most 16 items`},
		"two rules of one name":            {`rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 0}}, {name: r, match: [{methods: [PUT]}], retry: {maxRetries: 0}}]`, `Duplicate value: {"name":"r"}`},
		"a rule without match":             {`rules: [{name: r, match: [], retry: {maxRetries: 0}}]`, `should have at least 1 items`},
		"a fraction of a byte":             {`retry: {body: {maxBytes: 0.5}}`, `must be of type integer,string`},
		"a status code with a fraction":    {`retry: {statusCodes: [503.5]}`, `must be of type integer,string`},
		"the same status code twice":       {`retry: {statusCodes: [503, 503]}`, `Duplicate value: 503`},
		"a port out of range":              {`to: [{host: a.example, ports: [65536]}]`, `should be less than or equal to 65535`},
		"a fallback that is informational": {`fallback: {response: {statusCode: 100}}`, `should be greater than or equal to 200`},
		"a breaker that never probes":      {`circuitBreaker: {consecutiveFailures: 1, halfOpen: {probes: 0}}`, `should be greater than or equal to 1`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := send(t, inSpec(t, tc.fragment))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with: %s", err, tc.want)
			}
		})
	}
}

func TestSchemaRefusesPolicyWithoutDestination(t *testing.T) {
	needAPIServer(t)
	for _, u := range []struct{ kind, block string }{{v1alpha1.RetryPolicyKind, "retry"}, {v1alpha1.ClusterRetryPolicyKind, "defaults"}} {
		o := object(u.kind, map[string]any{u.block: map[string]any{}})
		delete(o.Object["spec"].(map[string]any), "to")
		if err := send(t, o); err == nil || !strings.Contains(err.Error(), "spec.to: Required value") {
			t.Errorf("%s: got %v, want spec.to: Required value", u.kind, err)
		}
	}
}

// The largest policy the bounds allow must not exceed the API server's budget
// for evaluating rules.
func TestSchemaAcceptsLargestPolicy(t *testing.T) {
	needAPIServer(t)
	const retry = `{maxRetries: 10, statusCodes: ["400-599", "4xx", "5xx"], backoff: {initialInterval: 10ms, maxInterval: 10s, multiplier: "2"},
		overrides: [` +
		`{when: [Reset], maxRetries: 1, backoff: {initialInterval: 10ms, maxInterval: 10s}}, {when: [Reset], maxRetries: 1}, {when: [Reset], maxRetries: 1}, {when: [Reset], maxRetries: 1},
		{when: [Reset], maxRetries: 1}, {when: [Reset], maxRetries: 1}, {when: [Reset], maxRetries: 1}, {when: [Reset], maxRetries: 1}]}`
	var to, rules []string
	for i := range 16 {
		n := strings.Repeat("x", i+1)
		to = append(to, `{host: "`+strings.Repeat("long-label.", 20)+n+`.example"}`)
		rules = append(rules, `{name: `+n+`, match: [{path: {value: "/`+strings.Repeat(n, 60)+`"}}], timeouts: {perTry: 1s}, retry: `+retry+
			`, fallback: {destination: {host: "`+n+`.backup.example"}}}`)
	}
	mustAccept(t, inSpec(t, `{to: [`+strings.Join(to, ", ")+`], timeouts: {overall: 1m}, rules: [`+strings.Join(rules, ", ")+`]}`))
}
