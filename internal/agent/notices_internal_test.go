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
