package endpoints

import (
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/liveapi"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// agent answers that one of two endpoints is ejected.
func agent(node string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		liveapi.Answer(w, liveapi.List[liveapi.Endpoints]{Node: node, At: now, Items: []liveapi.Endpoints{
			{Policy: "shop/payments", Destination: "shop/payments:80", Endpoints: []liveapi.Endpoint{
				{Address: netip.MustParseAddrPort("10.0.0.1:80"), Outstanding: 4, Judged: []liveapi.EndpointBreaker{{State: "closed", Weight: 1}}},
				{Address: netip.MustParseAddrPort("10.0.0.2:80"), Judged: []liveapi.EndpointBreaker{
					{State: "open", Ejections: 2, Since: now.Add(-20 * time.Second), Until: now.Add(10 * time.Second)},
				}},
			}},
			{Policy: "shop/search", Destination: "shop/search:80", Endpoints: []liveapi.Endpoint{{Address: netip.MustParseAddrPort("10.0.0.9:80")}}},
		}})
	})
}

func run1(t *testing.T, c *asktest.Cluster, args ...string) error {
	t.Helper()
	return clitest.Run(t, c.Env, newCommand(c.Env, c.Reach), args...)
}

func rows(s string) (out []string) {
	for l := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(l), " "))
	}
	return out
}

func TestEndpointsOfAllNodesAreATable(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-2", "node-2", agent("node-2"))
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1"))
	c.Add("fairlead-agent", "agent-3", "node-3", http.NotFoundHandler())
	if err := run1(t, c); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"POLICY DESTINATION ENDPOINT NODE STATE WEIGHT OUTSTANDING EJECTIONS FOR",
		"shop/payments shop/payments:80 10.0.0.1:80 node-1 in 1 4 0 -",
		"shop/payments shop/payments:80 10.0.0.1:80 node-2 in 1 4 0 -",
		"shop/payments shop/payments:80 10.0.0.2:80 node-1 ejected 0 0 2 20s",
		"shop/payments shop/payments:80 10.0.0.2:80 node-2 ejected 0 0 2 20s",
		"shop/search shop/search:80 10.0.0.9:80 node-1 not judged - 0 - -",
		"shop/search shop/search:80 10.0.0.9:80 node-2 not judged - 0 - -",
	}
	if diff := cmp.Diff(want, rows(c.Out.String())); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(c.Err.String(), "not among it: pod agent-3") {
		t.Errorf("of the agent that does not answer there is %q", c.Err)
	}
}

func TestTheEjectedAreChosen(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1"))
	c.Add("fairlead-agent", "agent-2", "node-2", agent("node-2"))
	if err := run1(t, c, "shop/payments", "--ejected", "--node", "node-2", "-o", "wide", "--no-headers"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"shop/payments shop/payments:80 10.0.0.2:80 node-2 ejected 0 0 2 20s 10s - -"}, rows(c.Out.String())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"agent-2:9464 /debug/v1/endpoints?policy=shop%2Fpayments"}, c.Asked); diff != "" {
		t.Error(diff)
	}
}

func TestNoAnswerIsAnError(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", http.NotFoundHandler())
	if err := run1(t, c); err == nil || !strings.Contains(err.Error(), "it is of an earlier version") {
		t.Errorf("%v", err)
	}
}

// A namespace, labels and names choose and print policies, as in the other listings.
func TestPoliciesAreChosen(t *testing.T) {
	for args, want := range map[string]string{
		"-n shop -o name":            "retrypolicy.policy.fairlead.dev/payments\nretrypolicy.policy.fairlead.dev/search\n",
		"-n other -o name":           "",
		"-n other -A -l a=b -o name": "retrypolicy.policy.fairlead.dev/search\n",
		"-l a=c -o name":             "",
		"-n other -o json":           `"items": []`,
	} {
		search := &v1alpha1.RetryPolicy{}
		search.Namespace, search.Name, search.Labels = "shop", "search", map[string]string{"a": "b"}
		c := asktest.New(t, search)
		c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1"))
		if err := run1(t, c, strings.Fields(strings.TrimSuffix(args, ""))...); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		if got := c.Out.String(); got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%s prints %q", args, got)
		}
	}
}

// A policy is named in each of the ways that commands print.
func TestAPolicyIsNamed(t *testing.T) {
	for args, want := range map[string]string{
		"shop/payments": "policy=shop%2Fpayments", "payments -n shop": "policy=shop%2Fpayments", "base": "policy=base",
		"retrypolicy.policy.fairlead.dev/payments": "policy=shop%2Fpayments", "crp/base -n shop": "policy=base",
	} {
		c := asktest.New(t)
		c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1"))
		if err := run1(t, c, strings.Fields(args)...); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		if len(c.Asked) != 1 || !strings.HasSuffix(c.Asked[0], want) {
			t.Errorf("%s: asked %v", args, c.Asked)
		}
	}
}

// state is what an agent says of one endpoint, at its nth look.
func state(n int, node, breaker string) liveapi.List[liveapi.Endpoints] {
	list := liveapi.List[liveapi.Endpoints]{Node: node, At: now.Add(time.Duration(n) * time.Second)}
	if breaker != "" {
		b := liveapi.EndpointBreaker{State: breaker, Since: now}
		list.Items = []liveapi.Endpoints{
			{Policy: "shop/payments", Destination: "shop/payments:80", Endpoints: []liveapi.Endpoint{{Address: netip.MustParseAddrPort("10.0.0.1:80"), Judged: []liveapi.EndpointBreaker{b}}}},
		}
	}
	return list
}

// With --watch lines are printed when something changes or is gone, but for what time alone does; with --ejected, when an endpoint is in again, too. A look that
// fails is made again, and one that is refused ends it.
func TestChangesAreWatched(t *testing.T) {
	for _, also := range []string{"--ejected=false", "--ejected"} {
		t.Run(also, func(t *testing.T) {
			t.Parallel()
			watchChanges(t, also)
		})
	}
}

func watchChanges(t *testing.T, also string) {
	t.Helper()
	c := asktest.New(t)
	var asked atomic.Int32
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n := int(asked.Add(1)); n {
		case 1, 2:
			liveapi.Answer(w, state(n, "node-1", "open"))
		case 3:
			http.Error(w, "it begins", http.StatusServiceUnavailable)
		case 4:
			liveapi.Answer(w, state(n, "node-1", "closed"))
		case 5:
			liveapi.Answer(w, state(n, "node-1", ""))
		default:
			http.Error(w, "it is not for you", http.StatusForbidden)
		}
	}))
	err := run1(t, c, "--watch", "--interval", "1s", also)
	if err == nil || !strings.Contains(err.Error(), "it is not for you") {
		t.Errorf("ended with %v", err)
	}
	want := []string{
		"EVENT POLICY DESTINATION ENDPOINT NODE STATE WEIGHT OUTSTANDING EJECTIONS FOR",
		"ADDED shop/payments shop/payments:80 10.0.0.1:80 node-1 ejected 0 0 0 1s",
		"MODIFIED shop/payments shop/payments:80 10.0.0.1:80 node-1 in 0 0 0 4s",
		"DELETED shop/payments shop/payments:80 10.0.0.1:80 node-1 in 0 0 0 4s",
	}
	if diff := cmp.Diff(want, rows(c.Out.String())); diff != "" {
		t.Error(diff)
	}
	if says := "Not read, and read again until that succeeds: pod agent-1: it begins\nRead again.\n"; c.Err.String() != says {
		t.Errorf("says %q", c.Err)
	}
}

// What a node that does not answer has listed is not said to be gone, and that it does not answer is said once.
func TestWhatIsNotReadIsNotGone(t *testing.T) {
	c := asktest.New(t)
	var asked atomic.Int32
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(asked.Add(1))
		switch {
		case n < 4:
			liveapi.Answer(w, state(n, "node-1", "open"))
		case n == 4:
			liveapi.Answer(w, state(n, "node-1", "closed"))
		default:
			http.Error(w, "it is not for you", http.StatusForbidden)
		}
	}))
	var other atomic.Int32
	c.Add("fairlead-agent", "agent-2", "node-2", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := other.Add(1); n == 1 || n == 4 {
			liveapi.Answer(w, state(int(n), "node-2", "open"))
			return
		}
		http.Error(w, "it is replaced", http.StatusServiceUnavailable)
	}))
	if err := run1(t, c, "--watch", "--interval", "1s", "--no-headers"); err == nil {
		t.Error("it has not ended")
	}
	want := []string{
		"ADDED shop/payments shop/payments:80 10.0.0.1:80 node-1 ejected 0 0 0 1s",
		"ADDED shop/payments shop/payments:80 10.0.0.1:80 node-2 ejected 0 0 0 1s",
		"MODIFIED shop/payments shop/payments:80 10.0.0.1:80 node-1 in 0 0 0 4s",
	}
	if diff := cmp.Diff(want, rows(c.Out.String())); diff != "" {
		t.Error(diff)
	}
	if says := "not among it: pod agent-2: it is replaced\n"; strings.Count(c.Err.String(), says) != 1 {
		t.Errorf("says %q", c.Err)
	}
}
