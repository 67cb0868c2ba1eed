// Package tap is kubectl fairlead tap: calls, shown while they end.
package tap

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/screen"
	"fairlead.dev/fairlead/internal/liveapi"
)

// flags are those of the command.
type flags struct {
	all                                             bool
	workload, policy, host, status, outcome, format string
	node                                            string
	plain                                           bool
	rate                                            int
	lasts                                           time.Duration
}

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "tap [POD]",
		Short: "Show calls while they end, with each of their attempts",
		Long: `Shows the calls of pods while they end: what was called, what came of it, why it was retried or not, and of each attempt where it went, how it
ended and how long it took. What is asked for is chosen where the calls end. Calls do not wait for it: what is more than the rate, or than this
machine takes, is dropped, and how many that were is said. Bodies, header fields and queries are never shown.

On a terminal it is a view: space holds it still, / filters it, enter shows all about the selected call, and q ends it. Otherwise, and with --plain, calls
are printed.`,
		Example: `  kubectl fairlead tap -n shop
  kubectl fairlead tap checkout-5d9f-x2k --outcome retried
  kubectl fairlead tap -A --host '*.example.com' --status 5xx -o json | jq .call.tried`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Format(f.format).Check(output.JSON); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return run(cmd.Context(), env, c, ask.New(env, c, reach), &f, args)
		},
		ValidArgsFunction: env.CompletePods(),
	}
	f.addTo(cmd)
	for name, by := range map[string]kube.Completion{
		"output": cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp), "policy": env.CompletePolicyKeys(),
		"workload": env.CompleteWorkloads(), "node": env.CompleteNodes(), "host": env.CompleteHosts(),
		"outcome": cobra.FixedCompletions([]string{"succeeded", "failed", "retried"}, cobra.ShellCompDirectiveNoFileComp),
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, by)
	}
	return cmd
}

func (f *flags) addTo(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVarP(&f.all, "all-namespaces", "A", false, "Show the calls of pods of all namespaces")
	set.StringVar(&f.workload, "workload", "", "Show the calls of a workload, such as checkout or Deployment/checkout")
	set.StringVar(&f.policy, "policy", "", "Show the calls that a policy governs: namespace/name, or the name of a ClusterRetryPolicy")
	set.StringVar(&f.host, "host", "", "Show the calls to a host or address, or to those below *.example.com")
	set.StringVar(&f.status, "status", "", "Show the calls that were answered with a status, such as 503 or 5xx")
	set.StringVar(&f.outcome, "outcome", "", "Show the calls that ended so: succeeded, failed, retried, or a kind or retry decision of the access log")
	set.StringVar(&f.node, "node", "", "Show the calls of one node's pods")
	set.IntVar(&f.rate, "rate", 0, "Calls per second and node at most, from 1 to 1000 (100 unless set)")
	set.DurationVar(&f.lasts, "for", 0, "End after a time, an hour at most")
	set.BoolVar(&f.plain, "plain", false, "Print calls, on a terminal as well")
	set.StringVarP(&f.format, "output", "o", "", "Output format: json, one object a line")
}

// query is what agents are asked.
func (f *flags) query(namespace, pod string) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("namespace", namespace)
	set("pod", pod)
	set("workload", strings.TrimPrefix(f.workload, "workload/"))
	set("policy", f.policy)
	set("host", f.host)
	set("status", f.status)
	set("outcome", f.outcome)
	if f.rate > 0 {
		set("rate", strconv.Itoa(f.rate))
	}
	if f.lasts > 0 {
		set("for", f.lasts.String())
	}
	return q
}

func run(ctx context.Context, env *kube.Env, c client.Reader, a *ask.Asker, f *flags, args []string) error {
	namespace, err := env.Namespace()
	if err != nil {
		return err
	}
	pod, node := "", f.node
	if len(args) > 0 {
		pod = args[0]
		var p corev1.Pod
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: pod}, &p); err != nil {
			return kube.Explain(err, "look for pod "+namespace+"/"+pod)
		}
		node = cmp.Or(node, p.Spec.NodeName)
	}
	if f.all && pod == "" {
		namespace = ""
	}
	agents, err := a.AgentsOn(ctx, node)
	if err != nil {
		return err
	}
	agents = a.Some(ctx, agents, namespace, ": choose a pod, or one with --node")
	follow := &ask.Follow[liveapi.TapLine]{Path: liveapi.TapPath, Query: f.query(namespace, pod), For: f.lasts, Agents: looks(a, agents, node, namespace)}
	if f.format == "" && !f.plain && screen.Live(env.Terminal) {
		v := newView(namespace, title(namespace, pod), len(agents))
		follow.State = v.feed.state
		return show(ctx, env, v, func(ctx context.Context, each func(liveapi.TapLine)) error {
			follow.Each = each
			return follow.Run(ctx, a)
		})
	}
	follow.Each = func(l liveapi.TapLine) { print(env, f, &l) }
	follow.State = ask.Once(func(err error) { fmt.Fprintf(env.ErrOut, "not read, and asked again: %v\n", err) })
	return follow.Run(ctx, a)
}

// looks returns what returns agents at first, and then those that there are by then on a node, or all.
func looks(a *ask.Asker, agents []corev1.Pod, node, namespace string) func(context.Context) ([]corev1.Pod, error) {
	first := true
	return func(ctx context.Context) ([]corev1.Pod, error) {
		if first {
			first = false
			return agents, nil
		}
		now, err := a.AgentsOn(ctx, node)
		return a.Preferred(ctx, now, namespace), err
	}
}
