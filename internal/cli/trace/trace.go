// Package trace is kubectl fairlead trace: one call, step by step.
package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// flags are those of the command.
type flags struct {
	all, raw, plain, http2, insecure                  bool
	workload, policy, host, method, path, node, calls string
	headers                                           []string
	timeout                                           time.Duration
}

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "trace [POD]",
		Short: "Show one call step by step: the next that matches, or one that is made for it",
		Long: `Shows every decision and wait of one call, with the time since it began: limits, circuit breaker, endpoint and why, connection, what was sent and
answered, whether it is retried and why or why not, backoff, hedges, fallback and the outcome. It is the next call that matches, or, with
--call URL, one that is made from POD: by a short-lived container beside those of the pod, as kubectl debug makes them, which stays listed in the
pod's status. That takes the right to patch pods/ephemeralcontainers, and is visible in the pod: do not pass secrets by --header then. Of a call to https:// that is
passed through, the trace shows the connection; of one whose TLS a policy intercepts, the request.
Calls do not wait for it. Bodies, header fields and queries are never shown.

On a terminal, steps are in colour, with a line below them that says how the call stands; q ends it. Otherwise, and with --plain, they are plain lines.`,
		Example: `  kubectl fairlead trace -n shop --policy shop/payments
  kubectl fairlead trace checkout-5d9f-x2k --host payments.shop --method POST --path '/v1/*'
  kubectl fairlead trace checkout-5d9f-x2k --call http://payments.shop/v1/health --raw`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			t := &tracer{env: env, client: c, asker: ask.New(env, c, reach), flags: &f}
			t.print, t.opened = t.printLines, func() {}
			return t.run(cmd.Context(), args)
		},
		ValidArgsFunction: env.CompletePods(),
	}
	f.addTo(cmd)
	for name, by := range map[string]kube.Completion{
		"policy": env.CompletePolicyKeys(), "workload": env.CompleteWorkloads(), "node": env.CompleteNodes(), "host": env.CompleteHosts(),
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, by)
	}
	return cmd
}

func (f *flags) addTo(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVarP(&f.all, "all-namespaces", "A", false, "Trace a call of a pod of any namespace")
	set.StringVar(&f.workload, "workload", "", "Trace a call of a workload, such as checkout or Deployment/checkout")
	set.StringVar(&f.policy, "policy", "", "Trace a call that a policy governs: namespace/name, or the name of a ClusterRetryPolicy")
	set.StringVar(&f.host, "host", "", "Trace a call to a host or address, or to one below *.example.com")
	set.StringVar(&f.method, "method", "", "Trace a call with a method; with --call, the method to call with (GET unless set)")
	set.StringVar(&f.path, "path", "", "Trace a call to a path, or to one below /path/*")
	set.StringArrayVar(&f.headers, "header", nil, "Trace a call that has a header field: name, or name=value; with --call, a field to send: name: value, several times if need be")
	set.StringVar(&f.node, "node", "", "Trace a call of one node's pods")
	set.StringVar(&f.calls, "call", "", "Make a call to this URL from POD, and trace it")
	set.BoolVar(&f.http2, "http2", false, "With --call, speak HTTP/2")
	set.BoolVar(&f.insecure, "insecure", false, "With --call https://, do not verify the server's certificate")
	set.DurationVar(&f.timeout, "timeout", time.Minute, "How long to wait for the call to come and to end, 10m at most")
	set.BoolVar(&f.plain, "plain", false, "Print plain lines, on a terminal as well")
	set.BoolVar(&f.raw, "raw", false, "Print the lines of the live API, one JSON object each")
}

// check refuses what cannot be meant.
func (f *flags) check(args []string) error {
	switch {
	case f.timeout < time.Second || f.timeout > 10*time.Minute:
		return fmt.Errorf("--timeout %s: write a time from 1s to 10m", f.timeout)
	case f.calls == "" && f.http2:
		return errors.New("--http2 is for calls that are made: name one with --call")
	case f.insecure && !f.overTLS():
		return errors.New("--insecure is for calls to https:// that are made: name one with --call")
	case f.calls == "" && len(f.headers) > 1:
		return errors.New("--header: a call is chosen by one field at most; several are for --call")
	case f.calls == "":
		return nil
	case len(args) == 0:
		return errors.New("--call makes a call from a pod: name the pod")
	case f.host+f.path+f.policy+f.workload != "":
		return errors.New("--call makes the call that is traced: leave out --host, --path, --policy and --workload, which choose one")
	}
	return f.checkCall()
}

func (f *flags) checkCall() error {
	u, err := url.Parse(f.calls)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--call %s: write a URL that begins with http:// or https:// and names a host", output.Text(f.calls))
	}
	for _, h := range f.headers {
		if !strings.Contains(h, ":") {
			return fmt.Errorf("--header %s: write name: value", output.Text(h))
		}
	}
	return nil
}

// overTLS reports whether a call is made to https://.
func (f *flags) overTLS() bool {
	u, err := url.Parse(f.calls)
	return err == nil && u.Scheme == "https"
}

// query is what agents are asked. mark is that of a call that is made; empty: none is.
func (f *flags) query(namespace, pod, mark string) url.Values {
	q := url.Values{"for": {f.timeout.String()}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("namespace", namespace)
	set("pod", pod)
	if set("mark", mark); mark != "" {
		return q
	}
	set("workload", strings.TrimPrefix(f.workload, "workload/"))
	set("policy", f.policy)
	set("host", f.host)
	set("method", f.method)
	set("path", f.path)
	if len(f.headers) > 0 {
		set("header", f.headers[0])
	}
	return q
}

// tracer traces one call.
type tracer struct {
	env    *kube.Env
	client client.Client
	asker  *ask.Asker
	flags  *flags

	print  func(*liveapi.TraceLine)
	opened func() // is called when an agent looks, as long as no call has come
	node   string // that the call is of; empty: none has come yet
	ended  bool
	passed bool   // it is a connection that is passed through
	unseen string // how a call that was made went, which the agent does not see; empty: it does
}

// ErrNoCall: no call has come.
var ErrNoCall = errors.New("no call has come")

func (t *tracer) run(ctx context.Context, args []string) error {
	namespace, err := t.env.Namespace()
	if err != nil {
		return err
	}
	node := t.flags.node
	if len(args) == 0 {
		if t.flags.all {
			namespace = ""
		}
		return t.next(ctx, node, t.flags.query(namespace, "", ""))
	}
	var p corev1.Pod
	if err := t.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: args[0]}, &p); err != nil {
		return kube.Explain(err, "look for pod "+namespace+"/"+args[0])
	}
	if t.flags.calls != "" {
		return t.made(ctx, &p)
	}
	return t.next(ctx, cmp.Or(node, p.Spec.NodeName), t.flags.query(namespace, args[0], ""))
}

// next shows the next call that matches.
func (t *tracer) next(ctx context.Context, node string, query url.Values) error {
	agents, err := t.asker.AgentsOn(ctx, node)
	if err != nil {
		return err
	}
	agents = t.asker.Some(ctx, agents, query.Get("namespace"), ": choose a pod, or one with --node")
	if !t.flags.raw && !t.live() {
		fmt.Fprintf(t.env.ErrOut, "Waiting for a call that matches, for %s at most.\n", t.flags.timeout)
	}
	return t.record(ctx, fmt.Sprintf("waiting for a call that matches, for %s at most", t.flags.timeout), func(ctx context.Context) error {
		return t.look(ctx, agents, query)
	})
}

// look shows the next call that agents have.
func (t *tracer) look(ctx context.Context, agents []corev1.Pod, query url.Values) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err := ask.Lines(ctx, t.asker, agents, liveapi.TracePath, query, func(l liveapi.TraceLine) {
		if t.show(&l); t.ended {
			stop()
		}
	})
	switch {
	case t.ended:
		return nil
	case err != nil:
		return err
	case t.node == "" && context.Cause(ctx) == nil:
		return fmt.Errorf("%w within %s that matches: kubectl fairlead tap shows those that there are, and kubectl fairlead explain which policy would govern one", ErrNoCall, t.flags.timeout)
	case context.Cause(ctx) == nil:
		return fmt.Errorf("the call has not ended within %s: see --timeout", t.flags.timeout)
	}
	return nil
}

// show prints a line, if it is about the first call that has come.
func (t *tracer) show(l *liveapi.TraceLine) {
	if l.Begin == nil && l.Step == nil && l.End == nil {
		if t.node == "" {
			t.opened()
		}
		return
	}
	if t.node == "" {
		t.node = l.Node
	}
	if l.Node != t.node || t.ended {
		return
	}
	t.ended = l.End != nil
	t.passed = t.passed || l.Begin != nil && l.Begin.Protocol == "TCP"
	t.print(l)
}
