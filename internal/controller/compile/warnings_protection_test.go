package compile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func TestWarningsAboutProtection(t *testing.T) {
	const clear = "fallback.destination is a Service, which is called in the clear, also in place of a host that is called over TLS; name a host if that must not be."
	originated := host("api.example", 80)
	originated.TLS = &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate}
	const faulty = `faults: {until: "2026-03-01T12:00:00Z", percent: 10, delay: {duration: 1s`
	for name, tc := range map[string]struct {
		give string
		to   []v1alpha1.Destination
		want []string
	}{
		"nothing to say": {give: `{timeouts: {overall: 2s, adaptive: {min: 10ms, max: 1s}}, rateLimit: {requests: 1, onLimit: Queue, maxWait: 1s},
			retry: {hedging: {delay: 100ms}}, circuitBreaker: {consecutiveFailures: 1}, fallback: {when: [CircuitOpen, RateLimited], destination: {host: b.example}}}`},
		"a rate that is waited for too long": {
			give: `{timeouts: {overall: 1s}, rateLimit: {requests: 1, onLimit: Queue, maxWait: 1s}}`,
			want: []string{"rateLimit.maxWait 1s is not shorter than timeouts.overall 1s: a call that waits for so long has no time left."},
		},
		"a place that is waited for too long, in a rule": {
			give: `{timeouts: {overall: 1s}, rules: [{name: r, match: [{methods: [GET]}], concurrency: {max: 1, maxQueued: 1, maxWait: 2s}}]}`,
			want: []string{"Rule r: concurrency.maxWait 2s is not shorter than timeouts.overall 1s: a call that waits for so long has no time left."},
		},
		"an adaptive timeout as long as the call": {
			give: `{timeouts: {overall: 1s, adaptive: {min: 10ms, max: 1s}}}`,
			want: []string{"timeouts.adaptive.max 1s is not shorter than timeouts.overall 1s: an attempt that takes so long leaves no time for another."},
		},
		"hedges that come too late": {
			give: `{timeouts: {perTry: 100ms}, retry: {hedging: {delay: 100ms}}}`,
			want: []string{"retry.hedging.delay 100ms is not shorter than timeouts.perTry 100ms: no hedge ever starts."},
		},
		"hedges that come behind the end of the call, in a rule": {
			give: `{timeouts: {overall: 1s}, rules: [{name: r, match: [{methods: [GET]}], retry: {hedging: {delay: 1s}}}]}`,
			want: []string{"Rule r: retry.hedging.delay 1s is not shorter than timeouts.overall 1s: no hedge ever starts."},
		},
		"a call that may last shorter than its deadline, in a rule": {
			give: `{timeouts: {maxDuration: 1s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {overall: 2s}}]}`,
			want: []string{"Rule r: timeouts.maxDuration 1s is shorter than timeouts.overall 2s: calls end before their deadline."},
		},
		"a server's wish that is longer than the call": {
			give: `{timeouts: {overall: 10s}, retry: {retryAfter: {max: 10s}}}`,
			want: []string{"retry.retryAfter.max 10s is not shorter than timeouts.overall 10s: no retry waits for so long, so it bounds nothing."},
		},
		"a server's wish that is not":       {give: `{timeouts: {overall: 10s}, retry: {retryAfter: {max: 9s}}}`},
		"a server's wish by default":        {give: `{timeouts: {overall: 10s}, retry: {retryAfter: {honor: true}}}`},
		"a server's wish that is not heard": {give: `{timeouts: {overall: 10s}, retry: {retryAfter: {honor: false, max: 10s}}}`},
		"a server's wish and no retries":    {give: `{timeouts: {overall: 10s}, retry: {maxRetries: 0, retryAfter: {max: 10s}}}`},
		"more hedges than retries": {
			give: `{retry: {maxRetries: 1, hedging: {percentile: 95, maxHedges: 2}}}`,
			want: []string{"retry.hedging.maxHedges 2 is more than retry.maxRetries 1, and each hedge counts as a retry."},
		},
		"hedges of what may not be repeated": {
			give: `rules: [{name: r, match: [{methods: [POST, PATCH]}, {grpc: {method: Get}}], retry: {hedging: {delay: 100ms}}}]`,
			want: []string{"Rule r: retry.hedging never acts: the rule is for methods that retry.idempotency.mode does not let be repeated. Set Any if they bear it."},
		},
		"hedges of what may": {
			give: `rules: [{name: r, match: [{methods: [POST, PUT]}], retry: {hedging: {delay: 100ms}}}, {name: s, match: [{methods: [POST]}], retry: {hedging: {delay: 1s}, idempotency: {mode: Any}}}]`,
		},
		"fallbacks for what never happens": {
			give: `fallback: {when: [CircuitOpen, RateLimited], response: {statusCode: 200}}`,
			want: []string{
				"fallback.when names RateLimited, which never happens without rateLimit, concurrency or a limit of connectionPool.",
				"fallback.when names CircuitOpen, which never happens without circuitBreaker.",
			},
		},
		"aborts behind the timeout of an attempt": {
			give: `{timeouts: {perTry: 1s}, ` + faulty + `}, abort: {type: Reset}}}`,
			want: []string{"faults.delay holds attempts up for 1s at least, which is not shorter than timeouts.perTry 1s: they time out, and faults.abort never happens."},
		},
		"aborts behind an adaptive timeout": {
			give: `{timeouts: {adaptive: {min: 10ms, max: 500ms}}, ` + faulty + `}, abort: {type: Reset}}}`,
			want: []string{"faults.delay holds attempts up for 1s at least, which is not shorter than timeouts.adaptive.max 500ms: they time out, and faults.abort never happens."},
		},
		"aborts behind the end of the call, in a rule": {
			give: `{timeouts: {overall: 500ms}, rules: [{name: r, match: [{methods: [GET]}], ` + faulty + `, jitterPercent: 50}, abort: {type: Response}}}]}`,
			want: []string{"Rule r: faults.delay holds attempts up for 500ms at least, which is not shorter than timeouts.overall 500ms: they time out, and faults.abort never happens."},
		},
		"aborts behind the longest a call may last": {
			give: `{timeouts: {maxDuration: 1s}, ` + faulty + `}, abort: {type: Reset}}}`,
			want: []string{"faults.delay holds attempts up for 1s at least, which is not shorter than timeouts.maxDuration 1s: they time out, and faults.abort never happens."},
		},
		"aborts behind some of the delays":  {give: `{timeouts: {perTry: 1s}, ` + faulty + `, jitterPercent: 10}, abort: {type: Reset}}}`},
		"delays beyond a timeout, no abort": {give: `{timeouts: {perTry: 1s}, ` + faulty + `}}}`},
		"a message that gRPC calls are not answered with": {
			give: `fallback: {response: {statusCode: 200, headers: [{name: Grpc-Status, value: "8"}, {name: Grpc-Message, value: later}]}}`,
			want: []string{"fallback.response.headers names grpc-message, which gRPC calls are not answered with: their grpc-message says why they fell back. Leave it out."},
		},
		"a fallback for all cases": {give: `fallback: {response: {statusCode: 200}}`},
		"in the clear in place of TLS": {
			give: `fallback: {destination: {service: {name: backup}}}`, to: to(originated), want: []string{clear},
		},
		"over TLS in place of TLS": {give: `fallback: {destination: {host: b.example}}`, to: to(originated)},
		"on itself": {
			give: `fallback: {destination: {service: {name: inventory, namespace: shop}}}`, to: to(service("", "inventory", 80)),
			want: []string{"fallback.destination is a destination of the policy itself: its calls are tried once more where they have failed."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source{ID: policy.ParseID("shop/p"), Body: body(t, tc.give), To: tc.to}
			if diff := cmp.Diff(tc.want, Warnings(&src)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
