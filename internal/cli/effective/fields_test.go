package effective

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// elsewhere are fields that are shown in another way: they decide which calls a policy is about, or stand in the row of their block.
var elsewhere = []string{
	"mode", "podSelector", "namespaceSelector", "to[]", "rules[]", "rollout.", "circuitBreaker.mode", "rateLimit.mode", "concurrency.mode", "fallback.mode", "faults.mode",
	"timeouts.adaptive.mode", "failurePolicy", "udp443", // see connectionFields
}

// TestEveryFieldIsShown: with everything set, each field of the API has a row of its own, or stands in that of its block.
func TestEveryFieldIsShown(t *testing.T) {
	shown := map[string]bool{}
	for _, text := range []string{everything, alternatives} {
		var body v1alpha1.PolicyBody
		if err := yaml.UnmarshalStrict([]byte(text), &body); err != nil {
			t.Fatal(err)
		}
		settings := compile.Settings(&body)
		for _, r := range rows(&settings) {
			shown[r.path] = true
		}
	}
	for _, f := range compile.Fields() {
		found := false
		for _, e := range elsewhere {
			found = found || f.Path == e || strings.HasPrefix(f.Path, e) && strings.HasSuffix(e, ".") || strings.HasPrefix(f.Path, e+".") || strings.HasPrefix(e, "to[]") && strings.HasPrefix(f.Path, "to[]") || strings.HasPrefix(e, "rules[]") && strings.HasPrefix(f.Path, "rules[]")
		}
		for path := f.Path; !found && path != ""; path = path[:max(0, strings.LastIndexAny(path, ".["))] {
			found = shown[path]
		}
		if !found {
			t.Errorf("no row shows %s", f.Path)
		}
	}
}

const everything = `
timeouts: {connect: 1s, tlsHandshake: 1s, responseHeader: 1s, idle: 1s, read: 1s, write: 1s, overall: 9s, maxDuration: 99s, adaptive: {min: 1s, max: 2s}}
retry:
  backoff: {jitter: Proportional, jitterPercent: 10}
  hedging: {delay: 1s, maxHedges: 2}
circuitBreaker: {consecutiveFailures: 1, errorRate: {percent: 10}, slowCalls: {threshold: 1s}}
rateLimit: {requests: 5, onLimit: Queue, maxWait: 1s}
concurrency: {max: 5}
fallback: {when: [CircuitOpen], response: {statusCode: 200, body: x}}
faults: {until: "2026-11-27T12:10:00Z", percent: 5, delay: {duration: 1s}, abort: {type: Reset}}
connectionPool: {http2: {pingInterval: 5s}}
observability: {tracing: {}}
`

const alternatives = `
retry: {hedging: {percentile: 95}}
concurrency: {adaptive: {}}
fallback: {when: [RateLimited], destination: {host: b.example}}
`

func at(hour int) metav1.Time { return metav1.NewTime(time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC)) }

// world is a namespace with a pod, and policies of all levels for any destination.
func world(t *testing.T, cluster map[string]string, own map[string]string) *Compiled {
	t.Helper()
	w := &World{Namespaces: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}}
	for name, spec := range cluster {
		p := v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at(1)}}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			t.Fatal(err)
		}
		w.ClusterRetryPolicies = append(w.ClusterRetryPolicies, p)
	}
	for name, spec := range own {
		p := v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: at(2)}}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			t.Fatal(err)
		}
		w.RetryPolicies = append(w.RetryPolicies, p)
	}
	return Compile(w, at(3).Time)
}

var caller = corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", Labels: map[string]string{"app": "a"}}}

// Each field comes from the last policy that sets it, unless a later one has switched its block off or chosen an alternative.
func TestWhereFieldsComeFrom(t *testing.T) {
	c := world(t, map[string]string{
		"base":  `{to: [{any: {}}], defaults: {timeouts: {connect: 1s, idle: 30s}, circuitBreaker: {consecutiveFailures: 3, open: {duration: 7s}}, concurrency: {max: 5}, udp443: Reject}}`,
		"guard": `{to: [{any: {}}], overrides: {retry: {maxRetries: 1}, failurePolicy: Closed}}`,
	}, map[string]string{
		"team": `{to: [{any: {}}], circuitBreaker: {mode: Disabled}, concurrency: {adaptive: {max: 9}}, retry: {maxRetries: 5, backoff: {initialInterval: 100ms}}}`,
		"pods": `{podSelector: {matchLabels: {app: a}}, to: [{any: {}}], circuitBreaker: {consecutiveFailures: 4},
			rules: [{name: slow, match: [{methods: [GET]}], timeouts: {connect: 3s}, retry: {maxRetries: 7}}]}`,
	})
	f := c.For(&caller)
	b := &f.Profile.Bindings[0]
	check := func(fields []Field, want map[string][2]string) {
		t.Helper()
		for _, field := range fields {
			w, listed := want[field.Path]
			if listed && (field.Value != w[0] || field.Source != w[1]) {
				t.Errorf("%s is %s (%s), want %s (%s)", field.Path, field.Value, field.Source, w[0], w[1])
			}
			delete(want, field.Path)
		}
		if len(want) > 0 {
			t.Errorf("no fields %v", want)
		}
	}
	const base, guard, team, pods = "ClusterRetryPolicy base (default)", "ClusterRetryPolicy guard (override)", "RetryPolicy shop/team", "RetryPolicy shop/pods"
	check(f.Fields(b, nil), map[string][2]string{
		"timeouts.connect": {"1s", base}, "timeouts.idle": {"30s", base}, "timeouts.read": {"30s", Derived}, "timeouts.overall": {"none", BuiltIn},
		"retry.maxRetries": {"1", guard}, "retry.backoff.initialInterval": {"100ms", team}, "retry.backoff.maxInterval": {"1s", Derived},
		"circuitBreaker.consecutiveFailures": {"4", pods}, "circuitBreaker.open.duration": {"10s", BuiltIn},
		"concurrency.adaptive.max": {"9", team}, "concurrency.adaptive.min": {"4", BuiltIn},
		"failurePolicy": {"Closed", guard}, "udp443": {"Reject", base},
	})
	check(f.Fields(b, &b.Rules[0]), map[string][2]string{
		"timeouts.connect": {"3s", "rule slow of " + pods}, "retry.maxRetries": {"1", guard}, // which a rule cannot undo
		"retry.backoff.initialInterval": {"100ms", team},
	})
}

// What the layers of a binding say is what agents are sent.
func TestLayersMakeTheSettings(t *testing.T) {
	c := world(t, map[string]string{
		"base": `{to: [{any: {}}], defaults: {timeouts: {connect: 1s}, rules: [{name: all, match: [{methods: [PUT]}], retry: {maxRetries: 0}}]}}`,
	}, map[string]string{"team": `{to: [{host: a.example}], retry: {maxRetries: 5}}`})
	f := c.For(&caller)
	for i := range f.Profile.Bindings {
		b := &f.Profile.Bindings[i]
		bodies := func(r *policy.Rule) (out []*v1alpha1.PolicyBody) {
			for _, l := range f.Layers(b, r) {
				out = append(out, l.Body)
			}
			return out
		}
		same := func(what string, got, want policy.Settings) {
			g, w := rows(&got), rows(&want)
			for i := range w {
				if g[i] != w[i] {
					t.Errorf("%s of %s: %+v, want %+v", what, b.Key, g[i], w[i])
				}
			}
		}
		same("base", compile.Settings(compile.Merged(bodies(nil)...)), b.Base)
		for j := range b.Rules {
			same("rule", compile.Settings(compile.Merged(bodies(&b.Rules[j])...)), b.Rules[j].Settings)
		}
	}
	if len(f.Profile.Bindings) < 2 {
		t.Fatalf("%d bindings", len(f.Profile.Bindings))
	}
}

func TestWhoIsNeverGoverned(t *testing.T) {
	c := world(t, nil, map[string]string{"team": `{to: [{any: {}}]}`})
	c.world.Exempt = "fairlead-system"
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		want   Ungoverned
	}{
		"an ordinary pod":      {func(*corev1.Pod) {}, Governed},
		"on the host":          {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, HostNetwork},
		"of fairlead":          {func(p *corev1.Pod) { p.Namespace = "fairlead-system" }, Exempt},
		"one that has ended":   {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, Ended},
		"of another namespace": {func(p *corev1.Pod) { p.Namespace = "other" }, Governed},
	} {
		pod := ptr.To(caller)
		tc.change(pod)
		f := c.For(pod)
		if f.Why != tc.want || (len(f.Policies) > 0) != (name == "an ordinary pod") {
			t.Errorf("%s: %q, %d policies", name, f.Why, len(f.Policies))
		}
	}
}
