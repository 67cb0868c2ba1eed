package tap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/telemetry/taps"
	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// agent is one whose tap has some calls as soon as it is open.
func agent(node string, calls ...*routes.Exchange) http.Handler {
	of := taps.New(func(uid string) (string, string) { return "shop/" + uid, "Deployment/checkout" })
	mux := http.NewServeMux()
	mux.HandleFunc(liveapi.TapPath, func(w http.ResponseWriter, r *http.Request) {
		of.Handler(node)(&opened{ResponseWriter: w, then: func() {
			for _, e := range calls {
				of.Call(e, policy.ID{Namespace: "shop", Name: "payments"}, "service shop/payments")
			}
		}}, r)
	})
	return mux
}

// opened calls then once something is written: the tap is open.
type opened struct {
	http.ResponseWriter
	once sync.Once
	then func()
}

func (o *opened) Write(b []byte) (int, error) {
	o.once.Do(o.then)
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o *opened) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func retried() *routes.Exchange {
	return &routes.Exchange{
		Pod: "checkout-1", Original: netip.MustParseAddrPort("10.96.0.7:80"), Method: []byte("GET"), Host: []byte("payments.shop"), Path: []byte("/a?b=c"),
		Outcome: call.Outcome{Decision: call.Recovered, Status: 200, Attempts: 2}, Took: 30 * time.Millisecond,
		Attempts: []routes.Attempt{
			{Kind: call.ConnectFailed, Peer: netip.MustParseAddrPort("10.0.0.1:80"), Detail: routes.DetailRefused, Took: time.Millisecond},
			{Status: 200, Start: call.Retry, Peer: netip.MustParseAddrPort("10.0.0.2:80"), Took: 9 * time.Millisecond},
		},
	}
}

func run1(t *testing.T, c *asktest.Cluster, args ...string) error {
	t.Helper()
	cmd := newCommand(c.Env, c.Reach)
	cmd.SetArgs(append([]string{}, args...)) // nil are those of the test
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(context.Background())
}

func TestCallsAreShownWithTheirAttempts(t *testing.T) {
	c := asktest.New(t)
	plain := retried()
	plain.Outcome, plain.Attempts = call.Outcome{Status: 200, Attempts: 1}, plain.Attempts[1:]
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", retried(), plain))
	if err := run1(t, c, "--for", "1s", "--status", "2xx", "--rate", "7", "--workload", "workload/checkout"); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(c.Out.String()), "\n") {
		if len(l) > 12 && l[2] == ':' { // the time
			l = l[13:]
		}
		lines = append(lines, l)
	}
	want := []string{
		"shop/checkout-1 → GET payments.shop/a 200 in 30ms, recovered (shop/payments)",
		"    1 first 10.0.0.1:80 connect_failure in 1ms: connection refused",
		"    2 retry 10.0.0.2:80 200 in 9ms",
		"shop/checkout-1 → GET payments.shop/a 200 in 30ms (shop/payments)",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("%s\n%s", diff, c.Err)
	}
	if diff := cmp.Diff([]string{"agent-1:9464 /debug/v1/tap?for=1s&namespace=shop&rate=7&status=2xx&workload=checkout"}, c.Asked); diff != "" {
		t.Error(diff)
	}
}

// Of a large cluster as many nodes are asked as there may be streams, and what that leaves out is said.
func TestNotAllNodesOfALargeClusterAreAsked(t *testing.T) {
	var agents []client.Object
	for i := range ask.MaxStreams + 3 {
		agents = append(agents, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: fmt.Sprintf("agent-%d", i), Labels: map[string]string{"app.kubernetes.io/name": "fairlead-agent"}},
			Spec:       corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", i)}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		})
	}
	for _, tc := range []struct {
		args  []string
		asked int64
		says  string
	}{
		{nil, ask.MaxStreams, "Calls of 200 nodes are looked at, which is the most; 3 more nodes may have some: choose a pod, or one with --node.\n"},
		{[]string{"--node", "node-7"}, 1, ""},
	} {
		var asked atomic.Int64
		c := asktest.New(t, agents...)
		cmd := newCommand(c.Env, func(*corev1.Pod, uint16) (*http.Client, func(), error) {
			asked.Add(1)
			return nil, nil, errors.New("pods is forbidden")
		})
		cmd.SetArgs(append([]string{"--for", "1s"}, tc.args...))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(t.Context()); err == nil || asked.Load() != tc.asked || c.Err.String() != tc.says {
			t.Errorf("%v: %d asked, %q, %v", tc.args, asked.Load(), c.Err, err)
		}
	}
}

// Of a pod only its node is asked.
func TestThePodsNodeIsAsked(t *testing.T) {
	c := asktest.New(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1"}, Spec: corev1.PodSpec{NodeName: "node-2"}})
	c.Add("fairlead-agent", "agent-1", "node-1", http.NotFoundHandler())
	c.Add("fairlead-agent", "agent-2", "node-2", agent("node-2", retried()))
	if err := run1(t, c, "checkout-1", "--for", "1s", "-o", "json"); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(c.Out.String(), "\n"); n != 1 || !strings.Contains(c.Out.String(), `"node":"node-2"`) {
		t.Errorf("printed %s", c.Out)
	}
	if len(c.Asked) != 1 || !strings.Contains(c.Asked[0], "pod=checkout-1") {
		t.Errorf("asked %v", c.Asked)
	}
	if err := run1(t, c, "checkout-9"); err == nil || !strings.Contains(err.Error(), "checkout-9") {
		t.Errorf("a pod that there is not: %v", err)
	}
}

// The calls of an agent that takes the place of another are shown, for as long as is left.
func TestATapGoesOnWhenItsAgentIsReplaced(t *testing.T) {
	c := asktest.New(t)
	of := func(name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: name, Labels: map[string]string{"app.kubernetes.io/name": "fairlead-agent"}},
			Spec:       corev1.PodSpec{NodeName: "node-1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		}
	}
	var live client.WithWatch
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(liveapi.TapLine{Node: "node-1", Call: &liveapi.Call{Pod: "shop/first"}})
		if err := errors.Join(live.Delete(r.Context(), of("agent-1")), live.Create(r.Context(), of("agent-2"))); err != nil {
			t.Error(err)
		}
	}))
	c.Serve("agent-2", agent("node-1", retried()))
	var err error
	if live, err = c.Env.Client(); err != nil {
		t.Fatal(err)
	}
	c.Env.Connect = func() (client.WithWatch, error) { return live, nil }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Env.Out = io.MultiWriter(c.Out, writes(func(line string) {
		if strings.Contains(line, `"pod":"shop/checkout-1"`) {
			cancel()
		}
	}))
	cmd := newCommand(c.Env, c.Reach)
	cmd.SetArgs([]string{"--for", "1m", "-o", "json"})
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Fatal(err)
	}
	if out := c.Out.String(); strings.Count(out, "\n") != 2 || !strings.Contains(out, `"pod":"shop/first"`) || !strings.Contains(out, `"pod":"shop/checkout-1"`) || c.Err.Len() > 0 {
		t.Errorf("printed %s, said %s", out, c.Err)
	}
	if len(c.Asked) != 2 || c.Asked[0] != "agent-1:9464 /debug/v1/tap?for=1m0s&namespace=shop" {
		t.Fatalf("asked %q", c.Asked)
	}
	left, err := time.ParseDuration(strings.TrimSuffix(strings.TrimPrefix(c.Asked[1], "agent-2:9464 /debug/v1/tap?for="), "&namespace=shop"))
	if err != nil || left <= 0 || left >= time.Minute {
		t.Errorf("asked %q: %v", c.Asked, err)
	}
}

// writes is called with what is written.
type writes func(string)

// Write implements io.Writer.
func (w writes) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

func TestWhatAgentsRefuseIsSaid(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1"))
	c.Add("fairlead-agent", "agent-0", "node-0", http.NotFoundHandler())
	err := run1(t, c, "--status", "teapot")
	if err == nil || !strings.Contains(err.Error(), "write a status, such as 503") || !strings.Contains(err.Error(), "it is of an earlier version") {
		t.Errorf("refused with %v", err)
	}
	if err := run1(t, c, "--node", "node-7"); err == nil || err.Error() != "no agent runs on node node-7" {
		t.Errorf("a node that there is not: %v", err)
	}
	if err := run1(t, c, "-o", "xml"); err == nil || !strings.Contains(err.Error(), "write one of json") {
		t.Errorf("a format that there is not: %v", err)
	}
}
