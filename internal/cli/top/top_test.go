package top

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// inventory is what a manager answers.
func inventory(w http.ResponseWriter, _ *http.Request) {
	liveapi.Answer(w, flowsAt(time.Now()))
}

// flowsAt are the calls in the minute before a time.
func flowsAt(to time.Time) *liveapi.Inventory {
	return &liveapi.Inventory{From: to.Add(-time.Minute), To: to, Other: liveapi.Flow{Calls: 3}, Flows: []liveapi.Flow{
		{
			Namespace: "shop", Workload: "checkout", Destination: "warehouse/inventory:80", Protocol: "HTTP", Calls: 1200, PerSecond: 20, Successes: 1199,
			Retries: 61, P50Seconds: 0.0042, P99Seconds: 0.31, Breaker: "closed", Policy: "shop/inventory", Target: "service warehouse/inventory",
		},
		{
			Namespace: "shop", Workload: "cart", Destination: "api.example:443", Protocol: "TLS", Calls: 6, PerSecond: 0.1, Successes: 3,
			P50Seconds: 1.5, P99Seconds: 2, Breaker: "open", Policy: "all", Target: "any",
		},
		{Namespace: "shop", Workload: "web", Destination: "cache:80", Service: "shop/cache:80", Protocol: "HTTP", Calls: 2, PerSecond: 0.033, Successes: 2, Policy: "all", Target: "any"},
	}}
}

func notLeading(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "this replica does not lead, and so hears of no agent: ask the other one", http.StatusServiceUnavailable)
}

func cluster(t *testing.T) *asktest.Cluster {
	t.Helper()
	c := asktest.New(t)
	c.Add("fairlead-manager", "manager-0", "node-1", http.HandlerFunc(notLeading))
	c.Add("fairlead-manager", "manager-1", "node-1", http.HandlerFunc(inventory))
	return c
}

func run(t *testing.T, c *asktest.Cluster, args ...string) error {
	t.Helper()
	cmd := newCommand(c.Env, c.Reach)
	cmd.SetArgs(append([]string{}, args...)) // nil are those of the test
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(context.Background())
}

func TestTopIsATable(t *testing.T) {
	c := cluster(t)
	if err := run(t, c, "--since", "10m", "--workload", "checkout"); err != nil {
		t.Fatal(err)
	}
	want := `NAMESPACE   WORKLOAD   DESTINATION              PROTOCOL   RPS    SUCCESS   RETRIES   P50      P99     BREAKER
shop        checkout   warehouse/inventory:80   HTTP       20.0   99.9%     5.0%      4.2ms    310ms   closed
shop        cart       api.example:443          TLS        0.1    50.0%     0.0%      1.5s     2s      open
shop        web        cache:80 (shop/cache:80) HTTP       0.0    100%      0.0%      -        -       -
`
	fields := func(s string) (out [][]string) {
		for l := range strings.Lines(s) {
			out = append(out, strings.Fields(l))
		}
		return out
	}
	if diff := cmp.Diff(fields(want), fields(c.Out.String())); diff != "" {
		t.Errorf("%s\n%s", diff, c.Out)
	}
	if !strings.Contains(c.Err.String(), "3 calls of all namespaces are not counted apart") {
		t.Errorf("of other there is %s", c.Err)
	}
	query := "/debug/v1/inventory?limit=50&namespace=shop&since=10m0s&workload=checkout"
	if diff := cmp.Diff([]string{"manager-0:8082 " + query, "manager-1:8082 " + query}, c.Asked); diff != "" {
		t.Error(diff)
	}
}

func TestTopIsSortedAndLimited(t *testing.T) {
	c := cluster(t)
	if err := run(t, c, "-A", "--sort", "success", "--limit", "1", "--no-headers"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(c.Out.String()); len(got) == 0 || got[1] != "cart" || strings.Count(c.Out.String(), "\n") != 1 {
		t.Errorf("printed %s", c.Out)
	}
	if !strings.Contains(c.Err.String(), "2 more with 1202 calls") || strings.Contains(c.Asked[0], "namespace=") {
		t.Errorf("said %s; asked %v", c.Err, c.Asked)
	}
}

func TestTopIsJSON(t *testing.T) {
	c := cluster(t)
	if err := run(t, c, "-o", "json"); err != nil {
		t.Fatal(err)
	}
	var got liveapi.Inventory
	if err := json.Unmarshal(c.Out.Bytes(), &got); err != nil || len(got.Flows) != 3 || got.Flows[0].Workload != "checkout" {
		t.Errorf("%s (%v)", c.Out, err)
	}
}

func TestWhatTopCannotDoIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"a sorting":   {[]string{"--sort", "fame"}, "write one of rps, success"},
		"an interval": {[]string{"--interval", "1ms"}, "write 1s or more"},
		"a format":    {[]string{"-o", "name"}, "write one of wide, json, yaml"},
		"an argument": {[]string{"shop"}, "takes no arguments"},
	} {
		if err := run(t, cluster(t), tc.args...); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nobody := asktest.New(t)
	if err := run(t, nobody); err == nil || !strings.Contains(err.Error(), "no pod of the manager runs in namespace fairlead-system") {
		t.Errorf("without a manager: %v", err)
	}
	nobody.Add("fairlead-manager", "manager-0", "node-1", http.HandlerFunc(notLeading))
	if err := run(t, nobody); err == nil || !strings.Contains(err.Error(), "does not lead") {
		t.Errorf("while none leads: %v", err)
	}
}
