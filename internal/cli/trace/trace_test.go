package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// at is a step so long after the beginning.
func at(after time.Duration, s liveapi.TraceStep) liveapi.TraceLine {
	s.AfterSeconds = after.Seconds()
	return liveapi.TraceLine{At: clitest.Now.Add(after), Step: &s}
}

var peers = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80")} //nolint:gochecknoglobals // what tests read

// recovered is a call that was answered by its retry.
func recovered() []liveapi.TraceLine {
	ms := time.Millisecond
	retryable := &liveapi.TraceClass{Retryable: true, BreakerFails: true}
	choice := &liveapi.TraceChoice{By: "least_request", Endpoints: 3, Ejected: 1, Outstanding: 2}
	other := &liveapi.TraceChoice{By: "least_request", Endpoints: 3, Ejected: 1, Used: 1}
	return []liveapi.TraceLine{
		{Begin: &liveapi.TraceCall{
			Pod: "shop/checkout-1", Workload: "Deployment/checkout", Policy: "shop/payments", Merged: []string{"guard", "shop/payments"}, Rule: "charge",
			Target: "service billing/payments", Destination: "billing/payments:80", Mode: "Enforce", Protocol: "HTTP", Method: "GET", Host: "payments.billing",
			Path: "/v1/charges", To: netip.MustParseAddrPort("10.96.0.7:80"),
		}},
		at(0, liveapi.TraceStep{Step: "begins", Methods: "safe", Limit: "timeouts.overall", Seconds: 10}),
		at(0, liveapi.TraceStep{Step: "limit", Limit: "concurrency", Result: "waits", Seconds: 0.004}),
		at(4*ms, liveapi.TraceStep{Step: "limit", Limit: "concurrency", Result: "passes"}),
		at(4*ms, liveapi.TraceStep{Step: "breaker", Result: "passes"}),
		at(4*ms, liveapi.TraceStep{Step: "attempt", Attempt: 1, Result: "first"}),
		at(4*ms, liveapi.TraceStep{Step: "placed", Attempt: 1, Endpoint: peers[0], Limit: "timeouts.perTry", Seconds: 2}),
		at(4*ms, liveapi.TraceStep{Step: "chosen", Attempt: 1, Endpoint: peers[0], Result: "new", Choice: choice}),
		at(5*ms, liveapi.TraceStep{Step: "connected", Attempt: 1, Endpoint: peers[0], Seconds: 0.0012, TLSSeconds: 0.0008, Detail: "http/1.1"}),
		at(5*ms, liveapi.TraceStep{Step: "sent", Attempt: 1}),
		at(11*ms, liveapi.TraceStep{Step: "ended", Attempt: 1, Result: "503", Endpoint: peers[0], Seconds: 0.007}),
		at(11*ms, liveapi.TraceStep{Step: "judged", Attempt: 1, Result: "503", Class: retryable}),
		at(11*ms, liveapi.TraceStep{Step: "decision", Result: "retry", Seconds: 0.1, BackoffSeconds: 0.023, WishSeconds: 0.1, MaxRetries: 3}),
		at(111*ms, liveapi.TraceStep{Step: "attempt", Attempt: 2, Result: "retry"}),
		at(111*ms, liveapi.TraceStep{Step: "queue", Attempt: 2}),
		at(112*ms, liveapi.TraceStep{Step: "placed", Attempt: 2, Endpoint: peers[1], Limit: "timeouts.perTry", Seconds: 2}),
		at(112*ms, liveapi.TraceStep{Step: "chosen", Attempt: 2, Endpoint: peers[1], Result: "reused", Choice: other}),
		at(112*ms, liveapi.TraceStep{Step: "sent", Attempt: 2}),
		at(118*ms, liveapi.TraceStep{Step: "ended", Attempt: 2, Result: "200", Endpoint: peers[1], Seconds: 0.006, Reused: true}),
		at(118*ms, liveapi.TraceStep{Step: "judged", Attempt: 2, Result: "200", Class: &liveapi.TraceClass{Good: true}}),
		at(118*ms, liveapi.TraceStep{Step: "answer", Result: "200", Decision: "recovered"}),
		at(119*ms, liveapi.TraceStep{Step: "finished", Result: "200", Decision: "recovered"}),
		{End: &liveapi.Call{Kind: "response", Status: 200, Attempts: 2, Decision: "recovered", TookSeconds: 0.119}},
	}
}

// agent answers each trace with lines, behind the one that says that it is open. asked, if not nil, is called for each with its query, before the lines.
func agent(node string, lines []liveapi.TraceLine, asked func(r *http.Request)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(liveapi.TracePath, func(w http.ResponseWriter, r *http.Request) {
		to := json.NewEncoder(w)
		_ = to.Encode(liveapi.TraceLine{Node: node})
		_ = http.NewResponseController(w).Flush()
		if asked != nil {
			asked(r)
		}
		for _, l := range lines {
			l.Node = node
			_ = to.Encode(l)
		}
	})
	return mux
}

func runTrace(t *testing.T, c *asktest.Cluster, args ...string) error {
	t.Helper()
	return execute(newCommand(c.Env, c.Reach), args)
}

func execute(cmd *cobra.Command, args []string) error {
	cmd.SetArgs(append([]string{}, args...)) // nil would be those of the test
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(context.Background())
}

func TestACallIsShownStepByStep(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", recovered(), nil))
	if err := runTrace(t, c, "--policy", "shop/payments", "--workload", "workload/checkout", "--timeout", "30s", "--header", "x-debug"); err != nil {
		t.Fatal(err)
	}
	clitest.Golden(t, "recovered", c.Out.String())
	if len(c.Asked) != 1 || c.Asked[0] != "agent-1:9464 /debug/v1/trace?for=30s&header=x-debug&namespace=shop&policy=shop%2Fpayments&workload=checkout" {
		t.Errorf("asked %v", c.Asked)
	}
}

// Every reason and every kind of step has a sentence of its own, and one that is not known is shown by its name.
func TestEveryStepHasASentence(t *testing.T) {
	var b strings.Builder
	for _, s := range []liveapi.TraceStep{
		{Step: "begins", Methods: "unsafe", Keyed: true, Body: true, Retried: true},
		{Step: "limit", Limit: "rateLimit", Result: "refused", Seconds: 0.5},
		{Step: "breaker", Result: "probe"}, {Step: "breaker", Result: "refused"}, {Step: "budget", Result: "refused"},
		{Step: "fault", Attempt: 1, Seconds: 0.2}, {Step: "lookup", Attempt: 1}, {Step: "interim", Attempt: 1}, {Step: "held", Attempt: 1},
		{Step: "chosen", Attempt: 1, Result: "new", Choice: &liveapi.TraceChoice{By: "original"}},
		{Step: "chosen", Attempt: 1, Result: "new", Choice: &liveapi.TraceChoice{By: "name"}},
		{Step: "chosen", Attempt: 1, Result: "reused", Choice: &liveapi.TraceChoice{By: "affinity", Endpoints: 2, Unreachable: 1, Full: true}},
		{Step: "ended", Attempt: 1, Result: "connect_failure", Seconds: 0.001, Detail: "connection refused"},
		{Step: "judged", Attempt: 1, Result: "connect_failure", Class: &liveapi.TraceClass{Unsent: true}},
		{Step: "decision", Result: "method", MaxRetries: 2}, {Step: "decision", Result: "not_retryable", MaxRetries: 2},
		{Step: "decision", Result: "already_retried", MaxRetries: 2}, {Step: "decision", Result: "budget", Retries: 1, MaxRetries: 2},
		{Step: "decision", Result: "deadline", MaxRetries: 2}, {Step: "decision", Result: "body", MaxRetries: 2}, {Step: "decision", Result: "exhausted", Retries: 2, MaxRetries: 2},
		{Step: "hedge", Result: "due"}, {Step: "hedge", Result: "refused"}, {Step: "hedge", Attempt: 2, Result: "unplaced"}, {Step: "dismissed", Attempt: 2},
		{Step: "fallback"}, {Step: "answer", Result: "503", Decision: "exhausted"}, {Step: "of a later version", Result: "so"},
	} {
		b.WriteString(step(&s))
	}
	b.WriteString(ending(&liveapi.TraceLine{LeftOut: 3, End: &liveapi.Call{
		Kind: "per_try_timeout", Status: 504, Attempts: 3, Decision: "exhausted", Detail: "timeouts.perTry", TookSeconds: 6,
		DryRun: &liveapi.DryRun{Policy: "shop/new", Would: "not_retry"},
	}}))
	clitest.Golden(t, "sentences", b.String())
}

func TestRawLinesAreThoseOfTheLiveAPI(t *testing.T) {
	c := asktest.New(t)
	const path = "/a\x7fb\U000E0001c"
	lines := recovered()
	lines[len(lines)-1].End.Path = path
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", lines, nil))
	c.Env.Out = output.NewWriter(c.Env.Out) // as the plugin's is
	if err := runTrace(t, c, "--raw", "-A"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for d := json.NewDecoder(c.Out); d.More(); n++ {
		var l liveapi.TraceLine
		if err := d.Decode(&l); err != nil || l.Node != "node-1" || l.End != nil && l.End.Path != path {
			t.Fatalf("%+v, %v", l, err)
		}
	}
	if n != len(recovered()) || c.Err.Len() > 0 {
		t.Errorf("%d lines, %s", n, c.Err)
	}
}

func TestThatNoCallHasComeIsSaid(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", nil, nil))
	if err := runTrace(t, c); !errors.Is(err, ErrNoCall) || !strings.Contains(err.Error(), "kubectl fairlead tap") {
		t.Errorf("%v", err)
	}
	unfinished := asktest.New(t)
	unfinished.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", recovered()[:4], nil))
	if err := runTrace(t, unfinished); err == nil || !strings.Contains(err.Error(), "the call has not ended within 1m0s") {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	for says, args := range map[string][]string{
		"from 1s to 10m":                     {"--timeout", "11m"},
		"name the pod":                       {"--call", "http://a"},
		"leave out --host":                   {"pod", "--call", "http://a", "--host", "b"},
		"write a URL that begins with http:": {"pod", "--call", "payments.shop"},
		"--insecure is for calls to https":   {"pod", "--call", "http://a", "--insecure"},
		"write name: value":                  {"pod", "--call", "http://a", "--header", "x=y"},
		"name one with --call":               {"--http2"},
		"one field at most":                  {"--header", "a", "--header", "b"},
	} {
		if err := runTrace(t, asktest.New(t), args...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// podThatRuns is the pod from which calls are made.
func podThatRuns() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1"}, Spec: corev1.PodSpec{NodeName: "node-1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// kubelet has containers that are added to a pod end with a message. It stands for the API server and a kubelet.
type kubelet struct {
	added   []corev1.EphemeralContainer
	dryRuns int
	message string
	started chan string // gets the mark of each call that is made
	forbids bool
}

func (k *kubelet) patch(_ context.Context, _ client.Client, sub string, o client.Object, _ client.Patch, options ...client.SubResourcePatchOption) error {
	p, ok := o.(*corev1.Pod)
	if !ok || sub != "ephemeralcontainers" {
		return fmt.Errorf("patched %s of %T", sub, o)
	}
	if k.forbids {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods/ephemeralcontainers"}, p.Name, errors.New("no right"))
	}
	var with client.SubResourcePatchOptions
	with.ApplyOptions(options)
	if len(with.DryRun) > 0 {
		k.dryRuns++
		return nil
	}
	k.added = append(k.added, p.Spec.EphemeralContainers...)
	for _, arg := range p.Spec.EphemeralContainers[0].Args {
		if mark, ok := strings.CutPrefix(arg, "--mark="); ok {
			k.started <- mark
		}
	}
	return nil
}

func (k *kubelet) get(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if err := c.Get(ctx, key, o, options...); err != nil {
		return err
	}
	if p, ok := o.(*corev1.Pod); ok {
		for i := range k.added {
			p.Status.EphemeralContainerStatuses = append(p.Status.EphemeralContainerStatuses, corev1.ContainerStatus{
				Name: k.added[i].Name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: k.message}},
			})
		}
	}
	return nil
}

// madeIn has a call be made in a cluster whose agent answers with lines once the call with the mark that it was asked for is made.
func madeIn(t *testing.T, k *kubelet, lines []liveapi.TraceLine, args ...string) (*asktest.Cluster, error) {
	t.Helper()
	k.started = make(chan string, 1)
	c := asktest.New(t, podThatRuns(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "fairlead-egress-ca"}, Data: map[string]string{"ca.crt": "the CA"},
	})
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", lines, func(r *http.Request) {
		select {
		case mark := <-k.started:
			if asked := r.URL.Query().Get("mark"); asked != mark {
				t.Errorf("asked for the mark %q, made a call with %q", asked, mark)
			}
		case <-r.Context().Done():
		}
	}))
	connect := c.Env.Connect
	c.Env.Connect = func() (client.WithWatch, error) {
		of, err := connect()
		if err != nil {
			return nil, err
		}
		var agents corev1.PodList
		if err := of.List(t.Context(), &agents, client.InNamespace(c.Env.System)); err != nil {
			return nil, err
		}
		for i := range agents.Items {
			agents.Items[i].Spec.Containers = []corev1.Container{{Name: "agent", Image: "fairlead.dev/agent:v1"}}
			if err := of.Update(t.Context(), &agents.Items[i]); err != nil {
				return nil, err
			}
		}
		return interceptor.NewClient(of, interceptor.Funcs{SubResourcePatch: k.patch, Get: k.get}), nil
	}
	return c, execute(newCommand(c.Env, c.Reach), append([]string{"checkout-1", "--call", "http://payments.billing/v1/charges"}, args...))
}

func TestACallIsMadeFromThePod(t *testing.T) {
	k := &kubelet{message: `{"status":200}`}
	c, err := madeIn(t, k, recovered(), "--method", "POST", "--header", "x-a: 1", "--http2")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Golden(t, "recovered", c.Out.String())
	if k.dryRuns != 1 || len(k.added) != 1 {
		t.Fatalf("%d dry runs, added %+v", k.dryRuns, k.added)
	}
	of := k.added[0]
	args := strings.Join(of.Args, " ")
	for _, want := range []string{"call --url=http://payments.billing/v1/charges", "--method=POST", "--header=x-a: 1", "--http2", "--mark="} {
		if !strings.Contains(args, want) {
			t.Errorf("the container is run with %s, and not with %s", args, want)
		}
	}
	if strings.Contains(args, "--ca") || strings.Contains(args, "--insecure") {
		t.Errorf("the container is run with %s", args)
	}
	s := of.SecurityContext
	if of.Image != "fairlead.dev/agent:v1" || !*s.RunAsNonRoot || *s.AllowPrivilegeEscalation || s.Capabilities.Drop[0] != "ALL" || len(of.VolumeMounts) > 0 {
		t.Errorf("the container is %+v", of)
	}
}

// passedThrough is a connection whose TLS the agent does not see into.
func passedThrough() []liveapi.TraceLine {
	return []liveapi.TraceLine{
		{Begin: &liveapi.TraceCall{
			Pod: "shop/checkout-1", Policy: "shop/partner", Target: "host api.partner.example", Destination: "api.partner.example:443", Mode: "Enforce", Protocol: "TCP",
			Host: "api.partner.example", To: netip.MustParseAddrPort("192.0.2.7:443"),
		}},
		at(0, liveapi.TraceStep{Step: "begins", Methods: "unsafe"}),
		{End: &liveapi.Call{Kind: "response", Attempts: 1, Decision: "not_needed", TookSeconds: 0.004}},
	}
}

// A call over TLS is known by its mark where TLS is intercepted, and by its port where it is passed through; then what became of it in there is said, too.
func TestACallIsMadeOverTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		lines         []liveapi.TraceLine
		message, says string
	}{
		"intercepted":          {recovered(), `{"status":200,"proto":"HTTP/2.0"}`, ""},
		"passed through":       {passedThrough(), `{"status":403,"proto":"HTTP/2.0","seconds":0.012}`, "What the agent does not see: within the connection the call was answered with 403 over HTTP/2.0 in 12ms.\n"},
		"passed through, lost": {passedThrough(), `{"error":"x509: unknown authority"}`, "the call failed within the connection: x509: unknown authority. It trusts the public roots and"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kubelet{message: tc.message}
			c, err := madeIn(t, k, tc.lines, "--call", "https://api.partner.example/v1", "--insecure")
			if err != nil {
				t.Fatal(err)
			}
			if says := c.Err.String(); tc.says == "" && strings.Contains(says, "does not see") || !strings.Contains(says, tc.says) {
				t.Errorf("says %q", says)
			}
			args := k.added[0].Args
			i := slices.IndexFunc(args, func(s string) bool { return strings.HasPrefix(s, "--port=") })
			if i < 0 || !slices.Contains(args, "--url=https://api.partner.example/v1") || !slices.Contains(args, "--insecure") || !slices.Contains(args, "--ca=the CA") {
				t.Fatalf("the container is run with %q", args)
			}
			port := strings.TrimPrefix(args[i], "--port=")
			if n, err := strconv.Atoi(port); err != nil || n < firstPort || n > 65535 || !strings.Contains(c.Asked[0], "&port="+port) {
				t.Errorf("it calls from %s; asked %v", port, c.Asked)
			}
		})
	}
	_, err := madeIn(t, &kubelet{message: `{"error":"x509: unknown authority"}`}, nil, "--call", "https://api.partner.example/v1")
	if !errors.Is(err, ErrNoCall) || !strings.Contains(err.Error(), "its TLS failed before: x509: unknown authority. It trusts the public roots") {
		t.Errorf("%v", err)
	}
}

func TestThatACallIsNotGovernedIsSaid(t *testing.T) {
	_, err := madeIn(t, &kubelet{message: `{"status":204,"seconds":0.002}`}, nil)
	if !errors.Is(err, ErrNoCall) || !strings.Contains(err.Error(), "answered with 204 in 2ms") || !strings.Contains(err.Error(), "kubectl fairlead explain checkout-1") {
		t.Errorf("%v", err)
	}
}

func TestWhoMayNotAddContainersMakesNoCall(t *testing.T) {
	k := &kubelet{forbids: true}
	c, err := madeIn(t, k, nil)
	if err == nil || !strings.Contains(err.Error(), "the right to patch pods/ephemeralcontainers in namespace shop") {
		t.Errorf("%v", err)
	}
	if len(c.Asked) > 0 {
		t.Errorf("asked %v", c.Asked)
	}
}
