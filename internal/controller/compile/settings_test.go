package compile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func body(t *testing.T, text string) *v1alpha1.PolicyBody {
	t.Helper()
	b := &v1alpha1.PolicyBody{}
	if err := yaml.UnmarshalStrict([]byte(text), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSettingsOfNothingAreTheDefaults(t *testing.T) {
	if diff := cmp.Diff(policy.Defaults(), settingsOf(&v1alpha1.PolicyBody{})); diff != "" {
		t.Error(diff)
	}
}

//enforces:agent circuitBreaker.mode rateLimit.mode concurrency.mode observability.accessLog
func TestSettings(t *testing.T) {
	tests := map[string]struct {
		give []string
		want func(*policy.Settings)
	}{
		"timeouts; reading and writing follow idle": {
			give: []string{`timeouts: {connect: 1s, tlsHandshake: 4s, perTry: 2s, responseHeader: 3s, idle: 1m, write: 7s, overall: 10s, maxDuration: 1h}`},
			want: func(s *policy.Settings) {
				s.Timeouts = policy.Timeouts{Connect: time.Second, TLSHandshake: 4 * time.Second, PerTry: 2 * time.Second, ResponseHeader: 3 * time.Second, Idle: time.Minute,
					Read: time.Minute, Write: 7 * time.Second, Overall: 10 * time.Second, MaxDuration: time.Hour}
			},
		},
		"0s takes away an inherited bound": {
			give: []string{`timeouts: {overall: 10s, perTry: 2s}`, `timeouts: {overall: 0s}`},
			want: func(s *policy.Settings) { s.Timeouts.PerTry = 2 * time.Second },
		},
		"one team's breaker and another's timeout both apply": {
			give: []string{`circuitBreaker: {consecutiveFailures: 5}`, `timeouts: {perTry: 2s}`},
			want: func(s *policy.Settings) {
				b := policy.DefaultBreaker()
				b.ConsecutiveFailures = 5
				s.Breaker, s.Timeouts.PerTry = &b, 2*time.Second
			},
		},
		"a breaker of each endpoint": {
			give: []string{`circuitBreaker: {consecutiveFailures: 5, scope: Endpoint}`, `circuitBreaker: {maxEjectedPercent: 0}`},
			want: func(s *policy.Settings) {
				b := policy.DefaultBreaker()
				b.ConsecutiveFailures, b.Scope, b.MaxEjectedPercent = 5, policy.ScopeEndpoint, 0
				s.Breaker = &b
			},
		},
		"lists replace, and an empty one means none": {
			give: []string{`retry: {when: [Reset], statusCodes: ["5xx"], maxRetries: 3}`, `retry: {when: [], statusCodes: ["502-504", "429"]}`},
			want: func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = 0, 3
				s.Retry.StatusCodes = []policy.StatusRange{{From: 502, To: 504}, {From: 429, To: 429}}
			},
		},
		"backoff: the cap follows the start, and a merged cap never lies below it": {
			give: []string{`retry: {backoff: {maxInterval: 100ms}}`, `retry: {backoff: {initialInterval: 1s, strategy: Fixed, jitter: Proportional, jitterPercent: 10}}`},
			want: func(s *policy.Settings) {
				s.Retry.Backoff = policy.Backoff{Strategy: policy.Fixed, Initial: time.Second, Max: time.Second, Multiplier: 2,
					Jitter: policy.JitterProportional, JitterPercent: 10}
			},
		},
		"an override inherits what it leaves out": {
			give: []string{`retry: {maxRetries: 5, backoff: {initialInterval: 1s}, overrides: [{when: [PerTryTimeout], maxRetries: 3}, {statusCodes: ["503"], backoff: {multiplier: "1.5"}}]}`},
			want: func(s *policy.Settings) {
				b := policy.DefaultBackoff()
				b.Initial, b.Max = time.Second, 10*time.Second
				own := policy.DefaultBackoff()
				own.Multiplier = 1.5
				s.Retry.MaxRetries, s.Retry.Backoff = 5, b
				s.Retry.Overrides = []policy.RetryOverride{
					{On: policy.Of(policy.PerTryTimeout), MaxRetries: 3, Backoff: b},
					{StatusCodes: []policy.StatusRange{{From: 503, To: 503}}, MaxRetries: 5, Backoff: own},
				}
			},
		},
		"the rest of retry": {
			give: []string{`retry: {responseHeaders: [{name: X-Retry, value: "1"}], retryAfter: {honor: false, max: 5s}, idempotency: {mode: IdempotentOrKeyed, keyHeader: X-Key, generateKey: true},
			  budget: {percent: 0, minRetriesPerSecond: 1, window: 1m}, body: {maxBytes: 1Mi}, avoidPreviousEndpoints: false}`},
			want: func(s *policy.Settings) {
				s.Retry.ResponseHeaders = []policy.HeaderMatch{{Name: "x-retry", Value: "1"}}
				s.Retry.RetryAfter = policy.RetryAfter{Max: 5 * time.Second}
				s.Retry.Idempotency, s.Retry.KeyHeader, s.Retry.GenerateKey = policy.IdempotentOrKeyed, "X-Key", true
				s.Retry.Budget = policy.Budget{Percent: 0, MinPerSecond: 1, Window: time.Minute}
				s.Retry.BodyMaxBytes, s.Retry.AvoidPreviousEndpoints = 1<<20, false
			},
		},
		"the pool's bounds bound each other": {
			give: []string{`connectionPool: {maxConnections: 10, maxPending: 0, tcpKeepAlive: {idle: 0s}}`},
			want: func(s *policy.Settings) {
				s.Pool.MaxConnections, s.Pool.MaxConnectionsPerEndpoint, s.Pool.MaxIdlePerEndpoint = 10, 10, 10
				s.Pool.MaxPending, s.Pool.KeepAlive.Idle = 0, 0
			},
		},
		"a breaker that is switched off forgets, and starts anew when written again": {
			give: []string{`circuitBreaker: {consecutiveFailures: 5}`, `circuitBreaker: {mode: Disabled}`, `circuitBreaker: {errorRate: {percent: 10}, open: {duration: 10m}, sharing: Pod}`},
			want: func(s *policy.Settings) {
				b := policy.DefaultBreaker()
				b.ErrorRate = &policy.ErrorRate{Percent: 10, MinimumRequests: 20, Window: 10 * time.Second}
				b.OpenDuration, b.OpenMaxDuration, b.Sharing = 10*time.Minute, 10*time.Minute, policy.SharePod
				s.Breaker = &b
			},
		},
		"a breaker that is switched off is off": {
			give: []string{`circuitBreaker: {consecutiveFailures: 5}`, `circuitBreaker: {mode: Disabled}`},
			want: func(*policy.Settings) {},
		},
		"slow calls, failures and probes": {
			give: []string{`circuitBreaker: {slowCalls: {threshold: 2s, percent: 30}, failures: {when: [RateLimited], statusCodes: ["404", "5xx"]}, halfOpen: {probes: 3, successesToClose: 2}}`},
			want: func(s *policy.Settings) {
				b := policy.DefaultBreaker()
				b.SlowCalls = &policy.SlowCalls{Threshold: 2 * time.Second, Percent: 30, MinimumRequests: 20, Window: 10 * time.Second}
				b.FailureOn, b.Probes, b.SuccessesToClose = policy.Of(policy.RateLimited), 3, 2
				b.FailureStatus = []policy.StatusRange{{From: 404, To: 404}, {From: 500, To: 599}}
				s.Breaker = &b
			},
		},
		"a rate limit holds as many as it lets start in its time": {
			give: []string{`rateLimit: {requests: 100}`},
			want: func(s *policy.Settings) {
				s.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 100, Scope: policy.SharePod}
			},
		},
		"a rate limit in full": {
			give: []string{`rateLimit: {requests: 100, per: 1m, burst: 7, scope: Node, onLimit: Queue, maxWait: 2s}`},
			want: func(s *policy.Settings) {
				s.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Minute, Burst: 7, Scope: policy.ShareNode, MaxWait: 2 * time.Second}
			},
		},
		"nobody waits where a later policy has calls rejected": {
			give: []string{`rateLimit: {requests: 100, onLimit: Queue, maxWait: 2s}`, `rateLimit: {onLimit: Reject}`},
			want: func(s *policy.Settings) {
				s.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 100, Scope: policy.SharePod}
			},
		},
		"a limit that the cluster shares": {
			give: []string{`rateLimit: {requests: 100, scope: Cluster}`},
			want: func(s *policy.Settings) {
				s.RateLimit = &policy.RateLimit{Requests: 100, Per: time.Second, Burst: 100, Scope: policy.ShareCluster}
			},
		},
		"limits that are switched off are off": {
			give: []string{`{rateLimit: {requests: 5}, concurrency: {max: 5}}`, `{rateLimit: {mode: Disabled}, concurrency: {mode: Disabled}}`},
			want: func(*policy.Settings) {},
		},
		"a limit of concurrency in full": {
			give: []string{`concurrency: {max: 50, maxQueued: 10, maxWait: 2s, scope: Node}`},
			want: func(s *policy.Settings) {
				s.Concurrency = &policy.Concurrency{Max: 50, MaxQueued: 10, MaxWait: 2 * time.Second, Scope: policy.ShareNode}
			},
		},
		"nobody waits where a later policy lets none": {
			give: []string{`concurrency: {max: 50, maxQueued: 10, maxWait: 2s}`, `concurrency: {maxQueued: 0}`},
			want: func(s *policy.Settings) { s.Concurrency = &policy.Concurrency{Max: 50, Scope: policy.SharePod} },
		},
		"a limit of concurrency that adapts": {
			give: []string{`concurrency: {max: 50}`, `concurrency: {adaptive: {max: 200}}`},
			want: func(s *policy.Settings) {
				s.Concurrency = &policy.Concurrency{Adaptive: &policy.AdaptiveConcurrency{Min: 4, Max: 200}, Scope: policy.SharePod}
			},
		},
		"the bounds of one that adapts do not cross": {
			give: []string{`concurrency: {adaptive: {max: 2}}`},
			want: func(s *policy.Settings) {
				s.Concurrency = &policy.Concurrency{Adaptive: &policy.AdaptiveConcurrency{Min: 2, Max: 2}, Scope: policy.SharePod}
			},
		},
		"balancing and the access log": {
			give: []string{`loadBalancing: {policy: ClusterIP}`, `observability: {accessLog: All}`},
			want: func(s *policy.Settings) { s.LoadBalancing, s.AccessLog = policy.ClusterIP, policy.AccessLogAll },
		},
		"tracing is off until it is written": {
			give: []string{`observability: {accessLog: Errors}`},
			want: func(*policy.Settings) {},
		},
		"tracing, as it is meant without a share": {
			give: []string{`observability: {tracing: {}}`},
			want: func(s *policy.Settings) { s.Tracing = &policy.Tracing{SamplePercent: 1} },
		},
		"tracing of what callers trace alone": {
			give: []string{`observability: {tracing: {samplePercent: 10}}`, `observability: {tracing: {samplePercent: 0}}`},
			want: func(s *policy.Settings) { s.Tracing = &policy.Tracing{} },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { checkSettings(t, tc.give, tc.want) })
	}
}

// Of fields of which one at most may be written, the later policy's counts alone.
func TestWhatExcludesEachOtherIsReplaced(t *testing.T) {
	m := merged(body(t, `retry: {hedging: {delay: 1s, maxHedges: 2}}`), body(t, `retry: {hedging: {percentile: 90}}`))
	if h := m.Retry.Hedging; h.Delay != "" || *h.Percentile != 90 || *h.MaxHedges != 2 {
		t.Errorf("hedging is %+v", h)
	}
	m = merged(body(t, `concurrency: {max: 5, scope: Node}`), body(t, `concurrency: {adaptive: {}}`))
	if c := m.Concurrency; c.Max != nil || c.Adaptive == nil || c.Scope != v1alpha1.ConcurrencyScopeNode {
		t.Errorf("concurrency is %+v", c)
	}
	m = merged(body(t, `fallback: {response: {statusCode: 200}}`), body(t, `fallback: {destination: {host: b.example}}`))
	if f := m.Fallback; f.Response != nil || f.Destination == nil {
		t.Errorf("fallback is %+v", f)
	}
}

func TestMergingLeavesThePartsAlone(t *testing.T) {
	a := body(t, `retry: {maxRetries: 1, backoff: {initialInterval: 1s}, body: {maxBytes: 1Ki}}`)
	b := body(t, `retry: {backoff: {maxInterval: 5s}, body: {maxBytes: 2Ki}}`)
	wantA, wantB := a.DeepCopy(), b.DeepCopy()
	m := merged(a, b)
	if got := m.Retry.Body.MaxBytes; got.Cmp(resource.MustParse("2Ki")) != 0 || *m.Retry.MaxRetries != 1 {
		t.Errorf("merged to %v", m.Retry)
	}
	if diff := cmp.Diff(wantA, a); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantB, b); diff != "" {
		t.Error(diff)
	}
}

func TestRulesArePatchedOverTheBase(t *testing.T) {
	base := body(t, `retry: {maxRetries: 5, when: [Reset]}
rules:
- {name: replaced, match: [{methods: [GET]}], retry: {maxRetries: 1}}`)
	later := body(t, `timeouts: {perTry: 2s}
rules:
- name: charge
  match: [{methods: [POST], path: {value: /v1/charges}}, {path: {type: Exact, value: /x}}]
  retry: {maxRetries: 0, budget: {percent: 5}}
- name: reserve
  match: [{grpc: {service: shop.v1.Inventory, method: Reserve}}, {grpc: {service: shop.v1.Inventory}}]
  circuitBreaker: {consecutiveFailures: 3}
- name: anywhere
  match: [{grpc: {method: Reserve}}]
  timeouts: {perTry: 1s}
  rateLimit: {requests: 3}
  concurrency: {max: 3}`)
	rules := rulesOf([]*v1alpha1.PolicyBody{base, later})
	if len(rules) != 3 || rules[0].Name != "charge" || rules[1].Name != "reserve" || rules[2].Name != "anywhere" {
		t.Fatalf("rules %v", rules)
	}
	charge, reserve := rules[0], rules[1]
	if s := charge.Settings; s.Retry.MaxRetries != 0 || s.Retry.On != policy.Of(policy.Reset) || s.Timeouts.PerTry != 2*time.Second || s.Retry.Budget.Percent != 5 {
		t.Errorf("charge is %+v", s)
	}
	if !charge.OwnBudget || charge.OwnBreaker || reserve.OwnBudget || !reserve.OwnBreaker {
		t.Error("a rule keeps state of its own exactly for the blocks it patches")
	}
	if charge.OwnRateLimit || charge.OwnConcurrency || !rules[2].OwnRateLimit || !rules[2].OwnConcurrency {
		t.Error("a rule keeps limits of its own exactly where it patches them")
	}
	want := []policy.RequestMatch{{Methods: []string{"POST"}, PathType: policy.PathPrefix, Path: "/v1/charges"}, {PathType: policy.PathExact, Path: "/x"}}
	if diff := cmp.Diff(want, charge.Match); diff != "" {
		t.Error(diff)
	}
	want = []policy.RequestMatch{
		{PathType: policy.PathGRPC, Path: "shop.v1.Inventory/Reserve"}, {PathType: policy.PathGRPC, Path: "shop.v1.Inventory/*"},
	}
	if diff := cmp.Diff(want, reserve.Match); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]policy.RequestMatch{{PathType: policy.PathGRPC, Path: "*/Reserve"}}, rules[2].Match); diff != "" {
		t.Error(diff)
	}
}

func TestARuleDoesNotOutrankALaterPolicy(t *testing.T) {
	namespace := body(t, `
timeouts: {perTry: 1s}
rules:
- name: charge
  match: [{methods: [POST]}]
  timeouts: {perTry: 5s, overall: 20s}
  retry: {maxRetries: 9, idempotency: {mode: Any}}
  circuitBreaker: {mode: Disabled}`)
	override := body(t, `
timeouts: {overall: 8s}
retry: {idempotency: {mode: IdempotentMethods}}
circuitBreaker: {consecutiveFailures: 3}`)
	rules := rulesOf([]*v1alpha1.PolicyBody{namespace, nil, override})
	if len(rules) != 1 {
		t.Fatalf("rules %v", rules)
	}
	s := rules[0].Settings
	if s.Retry.Idempotency != policy.IdempotentMethods || s.Timeouts.Overall != 8*time.Second || s.Breaker == nil {
		t.Errorf("the rule undid the override: %+v", s)
	}
	if s.Retry.MaxRetries != 9 || s.Timeouts.PerTry != 5*time.Second {
		t.Errorf("the override undid what it does not set: %+v", s)
	}
	if rules := rulesOf([]*v1alpha1.PolicyBody{namespace, body(t, `rules: []`)}); rules != nil {
		t.Errorf("an empty list left rules %v", rules)
	}
}

// Whose calls a breaker counts is what the policy says.
func TestSharingOfBreakers(t *testing.T) {
	for give, want := range map[v1alpha1.SharingScope]policy.Sharing{
		"": policy.ShareNode, v1alpha1.SharingNode: policy.ShareNode, v1alpha1.SharingPod: policy.SharePod, v1alpha1.SharingCluster: policy.ShareCluster,
	} {
		if got := breakerOf(&v1alpha1.CircuitBreaker{ConsecutiveFailures: i32(5), Sharing: give}); got.Sharing != want {
			t.Errorf("%q: %v, want %v", give, got.Sharing, want)
		}
	}
}
