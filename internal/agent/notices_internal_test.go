package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

func TestPodsThatDoNotTrustAreNamed(t *testing.T) {
	pods := map[string]*policy.Workload{"1": {Namespace: "shop", Name: "one"}, "2": {Namespace: "shop", Name: "two"}}
	p, q := policy.ParseID("shop/p"), policy.ParseID("shop/q")
	got := untrusting([]routes.Distrust{
		{Pod: "1", Policies: []policy.ID{p}, Host: "a.example", Ended: 1}, {Pod: "2", Policies: []policy.ID{p}, Host: "b.example", Ended: 3, Spared: true},
		{Pod: "1", Policies: []policy.ID{q}, Host: "c.example", Ended: 1}, {Pod: "gone", Policies: []policy.ID{q}, Host: "c.example", Ended: 9},
	}, pods)
	want := []policy.CaptureProblem{
		{Namespace: "shop", Pod: "one", Policies: []policy.ID{q}, Reason: policy.NoticeTLSNotTrusted,
			Message: "it ended 1 TLS handshake to c.example since it does not trust the egress CA"},
		{Namespace: "shop", Pod: "two", Policies: []policy.ID{p}, Reason: policy.NoticeTLSNotTrusted,
			Message: "it ended 3 TLS handshakes to b.example since it does not trust the egress CA; its connections are passed through"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The text changes at a few numbers only, whatever the traffic.
func TestHandshakesAreCountedInSteps(t *testing.T) {
	for n, want := range map[int]string{
		1: "1 TLS handshake", 2: "2 TLS handshakes", 10: "10 TLS handshakes", 11: "more than 10 TLS handshakes", 20: "more than 10 TLS handshakes",
		21: "more than 20 TLS handshakes", 51: "more than 50 TLS handshakes", 100: "more than 50 TLS handshakes", 101: "more than 100 TLS handshakes",
		201: "more than 200 TLS handshakes", 100_001: "more than 100000 TLS handshakes",
	} {
		if got := handshakes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// An agent that exports no spans says so of each policy in force that has calls traced.
func TestAnAgentWithoutExporterSaysSoOncePerPolicy(t *testing.T) {
	asks := policy.Settings{Tracing: &policy.Tracing{SamplePercent: 1}}
	binding := func(name string, mode policy.Mode, base policy.Settings, rules ...policy.Rule) policy.Binding {
		return policy.Binding{Policy: policy.ID{Namespace: "shop", Name: name}, Mode: mode, Base: base, Rules: rules}
	}
	s := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{
			"1": {Namespace: "shop", Name: "b", Profile: "x"}, "2": {Namespace: "shop", Name: "a", Profile: "x"}, "3": {Namespace: "shop", Name: "0", Profile: "y"},
		},
		Profiles: map[string]*policy.Profile{
			"x": {Bindings: []policy.Binding{
				binding("base", policy.ModeEnforce, asks), binding("rule", policy.ModeEnforce, policy.Settings{}, policy.Rule{Settings: asks}),
				binding("dry", policy.ModeDryRun, asks), binding("off", policy.ModeDisabled, asks), binding("silent", policy.ModeEnforce, policy.Settings{}),
			}},
			"y": {Bindings: []policy.Binding{binding("silent", policy.ModeEnforce, policy.Settings{})}},
		},
	}
	var got []string
	for _, n := range untraced(s) {
		got = append(got, n.Pod+" "+n.Policies[0].String()+" "+n.Reason)
	}
	if diff := cmp.Diff([]string{"a shop/base NoTraceExporter", "a shop/rule NoTraceExporter"}, got); diff != "" {
		t.Error(diff)
	}
	delete(s.Profiles, "x")
	if got := untraced(s); got != nil {
		t.Errorf("%v, want nothing: nobody asks", got)
	}
}

func TestANodeWithoutIssuerIsSaidOncePerPolicy(t *testing.T) {
	pods := map[string]*policy.Workload{"1": {Namespace: "shop", Name: "b"}, "2": {Namespace: "shop", Name: "a"}}
	p, q := policy.ParseID("shop/p"), policy.ParseID("shop/q")
	var got []string
	for _, n := range unissued(map[string][]policy.ID{"1": {p, q}, "2": {p}, "gone": {q}}, pods) {
		got = append(got, n.Pod+" "+n.Policies[0].String()+" "+n.Reason)
	}
	if diff := cmp.Diff([]string{"a shop/p TLSNoIssuer", "b shop/q TLSNoIssuer"}, got); diff != "" {
		t.Error(diff)
	}
}
