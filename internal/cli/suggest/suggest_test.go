package suggest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/diff"
	"fairlead.dev/fairlead/internal/cli/schema"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// flow is one that has so many calls a minute for so many minutes, of which some fail.
func flow(to, protocol string, minutes int, calls, failed uint64, p99 float64) liveapi.Flow {
	f := liveapi.Flow{Namespace: "shop", Workload: "checkout", Policy: "inventory", Destination: to, Protocol: protocol, P50Seconds: p99 / 10, P99Seconds: p99}
	for range minutes {
		f.Calls, f.Successes = f.Calls+calls, f.Successes+calls-failed
		f.Points = append(f.Points, liveapi.Point{Calls: calls, Successes: calls - failed, P99Seconds: p99})
	}
	return f
}

// manager answers with an inventory.
func manager(flows ...liveapi.Flow) http.Handler {
	return answers(liveapi.InventoryPath, liveapi.Inventory{From: clitest.Now.Add(-time.Hour), To: clitest.Now, StepSeconds: 60, Flows: flows})
}

// agent answers with a tap that has shown calls.
func agent(calls ...*liveapi.Call) http.Handler {
	lines := []any{liveapi.TapLine{Node: "node-1"}}
	for _, c := range calls {
		lines = append(lines, liveapi.TapLine{Node: "node-1", Call: c})
	}
	return answers(liveapi.TapPath, lines...)
}

func answers(path string, lines ...any) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		to := json.NewEncoder(w)
		for _, l := range lines {
			_ = to.Encode(l)
		}
	})
	return mux
}

// sampled is a call to the payments with the results of its attempts.
func sampled(method string, results ...string) *liveapi.Call {
	c := &liveapi.Call{Method: method, Host: "payments.billing:80", Target: "any", To: netip.MustParseAddrPort("10.96.0.7:80")}
	for _, r := range results {
		c.Tried = append(c.Tried, liveapi.Attempt{Result: r})
	}
	return c
}

func checkout() client.Object {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}}},
		Status:     appsv1.DeploymentStatus{Replicas: 4},
	}
}

// printed runs the command and returns what it prints.
func printed(t *testing.T, c *asktest.Cluster, args ...string) (string, error) {
	t.Helper()
	cmd := newCommand(c.Env, c.Reach)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(context.Background())
	return c.Out.String(), err
}

// cases are clusters, by the golden files of what is suggested in them.
func cases(t *testing.T) map[string]*asktest.Cluster {
	t.Helper()
	make := func(f liveapi.Flow, calls ...*liveapi.Call) *asktest.Cluster {
		c := asktest.New(t, checkout())
		c.Add("fairlead-manager", "manager-1", "node-1", manager(f))
		c.Add("fairlead-agent", "agent-1", "node-1", agent(calls...))
		return c
	}
	other := sampled("GET", "503", "200")
	other.Host = "elsewhere.example"
	busy := flow("payments.billing:80", "HTTP", 60, 3000, 30, 0.240)
	busy.Service = "billing/payments:80"
	return map[string]*asktest.Cluster{
		"http":    make(busy, sampled("GET", "503", "200"), sampled("GET", "reset", "503", "200"), sampled("POST", "429"), sampled("GET", "200"), other),
		"grpc":    make(flow("billing/ledger:9000", "gRPC", 60, 900, 0, 0.004), &liveapi.Call{Method: "POST", Target: "service billing/ledger", Tried: []liveapi.Attempt{{Result: "OK"}}}),
		"tls":     make(flow("api.payments.example:443", "TLS", 60, 40, 1, 0.031)),
		"address": make(flow("192.0.2.7:5432", "TCP", 60, 10, 0, 0.001)),
		"failing": make(flow("search.example:80", "HTTP", 30, 100, 80, 1.2)),
	}
}

func TestWhatIsSuggested(t *testing.T) {
	for name, c := range cases(t) {
		t.Run(name, func(t *testing.T) {
			out, err := printed(t, c, "checkout", "--sample", "1s")
			if err != nil {
				t.Fatal(err, c.Err)
			}
			clitest.Golden(t, name, out)
		})
	}
}

// What is suggested compiles without warnings, and diff reads it as it is printed.
func TestDiffReadsWhatIsSuggested(t *testing.T) {
	for name, c := range cases(t) {
		t.Run(name, func(t *testing.T) {
			out, err := printed(t, c, "checkout", "--sample", "1s")
			if err != nil {
				t.Fatal(err)
			}
			var p v1alpha1.RetryPolicy
			if err := yaml.UnmarshalStrict([]byte(out), &p); err != nil {
				t.Fatal(err)
			}
			if s := compile.Settings(&p.Spec.PolicyBody); s.Timeouts.Overall > 0 && s.Timeouts.Overall < s.Timeouts.PerTry {
				t.Errorf("timeouts %+v", s.Timeouts)
			}
			file := filepath.Join(t.TempDir(), "suggested.yaml")
			if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
			env, text, errs := clitest.Env(t, "testdata/cluster.yaml")
			if err := clitest.Run(t, env, diff.New(env), "-f", file, "-n", "shop"); !errors.Is(err, diff.ErrDiffers) {
				t.Fatalf("diff: %v\n%s%s", err, text, errs)
			}
			if !strings.Contains(text.String(), "shop/checkout-1") || !strings.Contains(text.String(), p.Name) {
				t.Errorf("diff prints\n%s", text)
			}
		})
	}
}

// Where calls take longer than is measured, no limit of their time, or of how many there are at once, is made of the figure.
func TestNoLimitOfWhatIsNotMeasured(t *testing.T) {
	var all policy.Latency
	all[policy.LatencyBuckets-1] = 100 // minutes, perhaps
	p99, _ := all.Quantile(0.99)
	f := flow("reports.example:80", "HTTP", 60, 100, 0, p99.Seconds())
	c := asktest.New(t, checkout())
	c.Add("fairlead-manager", "manager-1", "node-1", manager(f))
	out, err := printed(t, c, "checkout", "--sample", "0s")
	if err != nil {
		t.Fatal(err, c.Err)
	}
	var p v1alpha1.RetryPolicy
	if err := yaml.UnmarshalStrict([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	if p.Spec.Timeouts != nil || p.Spec.ConnectionPool != nil || !strings.Contains(out, "took longer than 50 s") {
		t.Errorf("suggested is\n%s", out)
	}
}

// What is suggested has no request repeated that may have been processed and is not idempotent, whatever the cluster's own policies say.
func TestNothingIsSuggestedThatRepeatsWrites(t *testing.T) {
	risky := v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{Idempotency: &v1alpha1.Idempotency{Mode: v1alpha1.IdempotencyAny}}}}
	for name, c := range cases(t) {
		out, err := printed(t, c, "checkout", "--sample", "1s")
		if err != nil {
			t.Fatal(err)
		}
		var p v1alpha1.RetryPolicy
		if err := yaml.UnmarshalStrict([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		r := compile.Settings(compile.Merged(&risky, &p.Spec.PolicyBody)).Retry
		seen := slices.ContainsFunc(r.On.Names(), func(w string) bool { return w == "Reset" || w == "GatewayError" || w == "PerTryTimeout" })
		if r.MaxRetries > 0 && seen && r.Idempotency != policy.IdempotentMethods {
			t.Errorf("%s: %s is repeated by %v", name, r.Idempotency, r.On.Names())
		}
	}
}

func TestTooLittleIsNotEnough(t *testing.T) {
	for says, f := range map[string]liveapi.Flow{
		"499 calls were seen":       {Namespace: "shop", Workload: "checkout", Destination: "a:80", Protocol: "HTTP", Calls: 499, Points: []liveapi.Point{{Calls: 499}}},
		"were seen for 9m0s":        flow("a:80", "HTTP", 9, 100, 0, 0.1),
		"no minute had 20":          flow("a:80", "HTTP", 60, 19, 0, 0.1),
		"no calls of checkout in n": {},
	} {
		c := asktest.New(t, checkout())
		if f.Calls == 0 {
			c.Add("fairlead-manager", "manager-1", "node-1", manager())
		} else {
			c.Add("fairlead-manager", "manager-1", "node-1", manager(f))
		}
		out, err := printed(t, c, "checkout", "--sample", "0s")
		if !errors.Is(err, errTooLittle) || out != "" || !strings.Contains(c.Err.String()+err.Error(), says) {
			t.Errorf("%s: %v, %s", says, err, c.Err)
		}
	}
}

func TestFlagsThatCannotBeMeantAreRefused(t *testing.T) {
	for says, args := range map[string][]string{"from 10m0s to 1h": {"checkout", "--since", "2h"}, "from 1s to 10m": {"checkout", "--sample", "1ms"}} {
		if _, err := printed(t, asktest.New(t), args...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// Whatever was observed, the policy is one that the API server accepts, and no figure contradicts another.
func TestWhateverWasObservedCanBeSuggestedFrom(t *testing.T) {
	random, checker := rand.New(rand.NewPCG(1, 2)), schema.New()
	for range 1000 {
		calls := 20 + random.Uint64N(1_000_000)
		f := flow([]string{"a-b.example:80", "x/y:1", "[2001:db8::1]:443", "192.0.2.7:9"}[random.IntN(4)], []string{"HTTP", "gRPC", "TLS", "TCP"}[random.IntN(4)],
			30, calls, random.Uint64N(calls+1), random.ExpFloat64())
		e := gathered(&liveapi.Inventory{StepSeconds: 60, Flows: []liveapi.Flow{f}})[0]
		e.pods = random.IntN(5000)
		if why := e.enough(); why != "" {
			if f.Protocol != "TCP" || destinationOf(e).Host == "" {
				t.Fatal(why)
			}
			continue
		}
		var out bytes.Buffer
		s := suggest(e)
		if err := s.print(&out); err != nil {
			t.Fatal(err)
		}
		var p v1alpha1.RetryPolicy
		if err := yaml.UnmarshalStrict(out.Bytes(), &p); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if err := checker.Document(v1alpha1.RetryPolicyKind, out.Bytes()); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		of := compile.Settings(&p.Spec.PolicyBody)
		if of.Timeouts.Overall > 0 && of.Timeouts.Overall < of.Timeouts.PerTry || of.Pool.MaxConnections < 0 || p.Name == "" {
			t.Fatalf("suggested\n%s", out.String())
		}
	}
}

func TestTimesAreRoundedUp(t *testing.T) {
	for in, want := range map[time.Duration]v1alpha1.Duration{
		time.Millisecond: "1ms", 99 * time.Millisecond: "99ms", 481 * time.Millisecond: "490ms", 999 * time.Millisecond: "1s", 2401 * time.Millisecond: "2500ms", 61 * time.Second: "61s", 0: "0s",
	} {
		if got := rounded(in); got != want {
			t.Errorf("%s is rounded to %s, want %s", in, got, want)
		}
	}
}

// Flows whose policies would have one name get different ones, and those to one destination get one policy.
func TestEachPolicyHasItsNameAndItsDestination(t *testing.T) {
	service := flow("payments.billing:80", "HTTP", 60, 100, 0, 0.1)
	service.Service = "billing/payments:80"
	long := strings.Repeat("a", 60) + "."
	for name, tc := range map[string]struct {
		flows []liveapi.Flow
		want  int
		also  string // is printed, or said
	}{
		"namespaces": {[]liveapi.Flow{flow("a/x:80", "HTTP", 60, 100, 0, 0.1), flow("b/x:80", "HTTP", 60, 100, 0, 0.1)}, 2, ""},
		"ports":      {[]liveapi.Flow{flow("a/x:80", "HTTP", 60, 100, 0, 0.1), flow("a/x:81", "HTTP", 60, 100, 0, 0.1)}, 2, ""},
		"cut":        {[]liveapi.Flow{flow(long+"a:80", "HTTP", 60, 100, 0, 0.1), flow(long+"b:80", "HTTP", 60, 100, 0, 0.1)}, 2, ""},
		"protocols":  {[]liveapi.Flow{flow("a/x:80", "HTTP", 60, 100, 0, 0.1), flow("a/x:80", "gRPC", 60, 200, 0, 0.1)}, 1, "Nothing for a/x:80 (HTTP): a policy is for whatever goes"},
		"few":        {[]liveapi.Flow{flow("a/x:80", "gRPC", 60, 200, 0, 0.1), flow("a/x:80", "HTTP", 1, 1, 0, 0.1)}, 1, "calls to a/x:80 (gRPC) are more"},
		"one":        {[]liveapi.Flow{service, flow("billing/payments:80", "HTTP", 60, 200, 0, 0.1)}, 1, "Nothing for payments.billing:80 (HTTP)"},
		"others":     {[]liveapi.Flow{flow("a/x:80", "HTTP", 60, 100, 0, 0.1), flow("a/y:80", "HTTP", 60, 100, 0, 0.1)}, 2, "name: checkout-x\n"},
	} {
		c := asktest.New(t, checkout())
		c.Add("fairlead-manager", "manager-1", "node-1", manager(tc.flows...))
		out, err := printed(t, c, "checkout", "--sample", "0s")
		if err != nil || !strings.Contains(out+c.Err.String(), tc.also) || strings.Contains(out, "protocol:") {
			t.Errorf("%s: %v\n%s%s", name, err, out, c.Err)
		}
		got, to := map[string]bool{}, map[string]bool{}
		for _, text := range strings.Split(out, "---\n")[1:] {
			var p v1alpha1.RetryPolicy
			if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil || len(p.Name) > 63 {
				t.Errorf("%s: %q, %v", name, p.Name, err)
			}
			d, err := json.Marshal(p.Spec.To)
			if err != nil {
				t.Fatal(err)
			}
			got[p.Name], to[string(d)] = true, true
		}
		if len(got) != tc.want || len(to) != tc.want {
			t.Errorf("%s: policies %v to %v, want %d", name, got, to, tc.want)
		}
	}
}

func TestSamplesAreOfTheDestination(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, tc := range []struct {
		to   string
		call liveapi.Call
		want bool
	}{
		{"billing/payments:80", liveapi.Call{Target: "service billing/payments", To: at("10.96.0.7:80")}, true},
		{"billing/payments:80", liveapi.Call{Target: "service billing/payments-v2", To: at("10.96.0.7:80")}, false},
		{"billing/payments:80", liveapi.Call{Target: "service billing/payments", To: at("10.96.0.7:81")}, false},
		{"billing/payments:80", liveapi.Call{Target: "any", Host: "Payments.billing.svc.cluster.local", To: at("10.96.0.7:80")}, true},
		{"billing/payments:80", liveapi.Call{Target: "any", Host: "payments.billing.example", To: at("10.96.0.7:80")}, false},
		{"billing/payments:80", liveapi.Call{Target: "any", Host: "payments", To: at("10.96.0.7:80")}, false},
		{"shop/cart:80", liveapi.Call{Target: "any", Host: "cart", To: at("10.96.0.7:80")}, true},
		{"api.example:443", liveapi.Call{Host: "api.example", To: at("192.0.2.7:443")}, true},
		{"api.example:443", liveapi.Call{Host: "api.example:8443", To: at("192.0.2.7:8443")}, false},
		{"192.0.2.7:5432", liveapi.Call{To: at("192.0.2.7:5432")}, true},
		{"192.0.2.7:5432", liveapi.Call{To: at("192.0.2.7:5433")}, false},
		{"[2001:db8::1]:443", liveapi.Call{To: at("[2001:db8::1]:443")}, true},
	} {
		e := &evidence{namespace: "shop", flow: liveapi.Flow{Destination: tc.to}}
		if got := e.isOf(&tc.call); got != tc.want {
			t.Errorf("%+v is of %s: %t", tc.call, tc.to, got)
		}
	}
}

func TestWorkloadsAreCompleted(t *testing.T) {
	c := asktest.New(t, checkout(), &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checks"}}, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "billing", Name: "chores"}})
	cmd := newCommand(c.Env, c.Reach)
	if got, _ := cmd.ValidArgsFunction(cmd, nil, "ch"); !slices.Equal(got, []string{"checkout", "checks"}) {
		t.Errorf("completed to %v", got)
	}
}
