package top

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// A look that fails is made again, and one that is refused ends it.
func TestTopIsPrintedAgainAndAgain(t *testing.T) {
	c := asktest.New(t)
	var asked atomic.Int32
	c.Add("fairlead-manager", "manager-0", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1, 3:
			inventory(w, r)
		case 2:
			notLeading(w, r)
		default:
			http.Error(w, "it is not for you", http.StatusForbidden)
		}
	}))
	err := run(t, c, "--watch", "--interval", "1s", "-o", "name")
	if err == nil || !strings.Contains(err.Error(), "it is not for you") {
		t.Errorf("ended with %v", err)
	}
	if once := "workload/checkout\nworkload/cart\nworkload/web\n"; c.Out.String() != once+once {
		t.Errorf("printed %s", c.Out)
	}
	if !strings.HasPrefix(c.Err.String(), "Not read, and read again until that succeeds: pod manager-0: this replica does not lead") || !strings.HasSuffix(c.Err.String(), "\nRead again.\n") {
		t.Errorf("says %q", c.Err)
	}
}

func TestWhatTopCannotDoIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"a sorting":   {[]string{"--sort", "fame"}, "write one of rps, success"},
		"an interval": {[]string{"--interval", "1ms"}, "write 1s or more"},
		"a format":    {[]string{"-o", "text"}, "write one of wide, json, yaml, name"},
		"a selector":  {[]string{"-l", "app in"}, "--selector: "},
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

// podOf is a pod of a workload.
func podOf(namespace, name, app string, owner *metav1.OwnerReference) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}}}
	if owner != nil {
		owner.Controller = new(true)
		p.OwnerReferences = []metav1.OwnerReference{*owner}
		p.Labels["pod-template-hash"] = "5d9f"
	}
	return p
}

// The calls of workloads are chosen by the labels that their pods have.
func TestTopOfPodsWithLabels(t *testing.T) {
	pods := []client.Object{
		podOf("shop", "checkout-5d9f-x", "front", &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "checkout-5d9f"}),
		podOf("shop", "cart-0", "back", &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "cart"}),
		podOf("shop", "web", "front", nil),
		podOf("other", "cart", "front", nil),
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"some":      {[]string{"-l", "app=front"}, "workload/checkout\nworkload/web\n"},
		"others":    {[]string{"-l", "app!=front", "-A"}, "workload/cart\n"},
		"all":       {nil, "workload/checkout\nworkload/cart\nworkload/web\n"},
		"none":      {[]string{"-l", "app=none"}, ""},
		"of a kind": {[]string{"--workload", "Deployment/checkout", "-l", "app"}, "workload/checkout\nworkload/cart\nworkload/web\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := asktest.New(t, pods...)
			c.Add("fairlead-manager", "manager-0", "node-1", http.HandlerFunc(inventory))
			if err := run(t, c, append([]string{"-o", "name"}, tc.args...)...); err != nil {
				t.Fatal(err)
			}
			if c.Out.String() != tc.want {
				t.Errorf("printed %q, want %q", c.Out, tc.want)
			}
			if name == "of a kind" && !strings.Contains(c.Asked[0], "workload=checkout&") && !strings.HasSuffix(c.Asked[0], "workload=checkout") {
				t.Errorf("asked %v", c.Asked)
			}
		})
	}
}

// The sum is that of the calls that are shown, and what the manager leaves out is said to be unknown.
func TestSumsOfPodsWithLabels(t *testing.T) {
	c := asktest.New(t, podOf("shop", "web", "front", nil), podOf("shop", "cart", "front", nil))
	c.Add("fairlead-manager", "manager-0", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		all := flowsAt(time.Now())
		all.LeftOut, all.LeftOutCalls, all.Total = 7, 70, liveapi.Flow{Calls: 1278, P99Seconds: 1}
		liveapi.Answer(w, all)
	}))
	if err := run(t, c, "-o", "json", "-l", "app=front"); err != nil {
		t.Fatal(err)
	}
	var got liveapi.Inventory
	if err := json.Unmarshal(c.Out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Total.Calls != 8 || got.Total.Successes != 5 || got.Total.P99Seconds != 0 || got.LeftOut != 7 {
		t.Errorf("the total is %+v, left out are %d", got.Total, got.LeftOut)
	}
	c.Out.Reset()
	if err := run(t, c, "-l", "app=front", "--limit", "1"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(c.Err.String(), "Of 7 more it is not known whether --selector selects them") || !strings.Contains(c.Asked[0], "limit=4096") {
		t.Errorf("said %s, asked %v", c.Err, c.Asked)
	}
}

// Workloads and destinations are completed from the inventory.
func TestWhatTopChoosesIsCompleted(t *testing.T) {
	c := cluster(t)
	for flag, tc := range map[string]struct {
		begun string
		want  []string
	}{"workload": {"c", []string{"cart", "checkout"}}, "destination": {"", []string{"api.example:443", "cache:80", "warehouse/inventory:80"}}} {
		cmd := newCommand(c.Env, c.Reach)
		by, ok := cmd.GetFlagCompletionFunc(flag)
		if !ok {
			t.Fatalf("--%s is not completed", flag)
		}
		if got, _ := by(cmd, nil, tc.begun); !slices.Equal(got, tc.want) {
			t.Errorf("--%s is completed to %v", flag, got)
		}
	}
	if !strings.Contains(c.Asked[1], "limit=1000&namespace=shop&since=1h") {
		t.Errorf("asked %v", c.Asked)
	}
	nobody := asktest.New(t)
	cmd := newCommand(nobody.Env, nobody.Reach)
	by, _ := cmd.GetFlagCompletionFunc("workload")
	if got, _ := by(cmd, nil, ""); len(got) > 0 {
		t.Errorf("without a manager it is completed to %v", got)
	}
}
