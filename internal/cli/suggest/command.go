package suggest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// step is the time of which percentiles are compared.
const step = time.Minute

// flags are those of the command.
type flags struct {
	destination   string
	since, sample time.Duration
}

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "suggest WORKLOAD",
		Short: "Make RetryPolicies of what was observed of a workload's calls, with the reason of each field",
		Long: `Makes a RetryPolicy for each destination that a workload has called: timeouts from the 99th percentile, retries for what another attempt gets past,
a circuit breaker by the volume, pool sizes from the calls under way. Each field has its reason as a comment, and so has what is not suggested.
It rests on the inventory of the last hour, and on a sample of calls that it looks at while they end. The policies are printed, and nothing is written.`,
		Example: `  kubectl fairlead suggest checkout -n shop > policies.yaml
  kubectl fairlead suggest checkout -n shop --destination billing/payments --sample 30s`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), env, c, ask.New(env, c, reach), args[0])
		},
		ValidArgsFunction: env.CompleteWorkload(),
	}
	cmd.Flags().StringVar(&f.destination, "destination", "", "Only for destinations that contain a text")
	_ = cmd.RegisterFlagCompletionFunc("destination", ask.CompleteCalled(env, reach))
	cmd.Flags().DurationVar(&f.since, "since", time.Hour, "How far back to look, an hour at most")
	cmd.Flags().DurationVar(&f.sample, "sample", 10*time.Second, "How long to look at calls while they end, for their methods and what they fail by; 0: not at all")
	return cmd
}

func (f *flags) check() error {
	switch {
	case f.since < minTime || f.since > time.Hour:
		return fmt.Errorf("--since %s: write a time from %s to 1h", f.since, minTime)
	case f.sample != 0 && f.sample < time.Second || f.sample > 10*time.Minute:
		return fmt.Errorf("--sample %s: write 0, or a time from 1s to 10m", f.sample)
	}
	return nil
}

// errTooLittle: there is no destination of which enough is known.
var errTooLittle = errors.New("too little is known to suggest anything")

func (f *flags) run(ctx context.Context, env *kube.Env, c client.Reader, a *ask.Asker, workload string) error {
	namespace, err := env.Namespace()
	if err != nil {
		return err
	}
	if _, name, ok := strings.Cut(workload, "/"); ok {
		workload = name
	}
	all, err := f.gather(ctx, a, namespace, workload)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("%w: no calls of %s in namespace %s are in the inventory. Calls are counted that policies govern, or a dry run looks at: docs/guides/inventory.md says how to have them counted before there is a policy", errTooLittle, output.Text(workload), output.Text(namespace))
	}
	enough := f.enough(env, all)
	if len(enough) == 0 {
		return fmt.Errorf("%w about the calls of %s/%s", errTooLittle, output.Text(namespace), output.Text(workload))
	}
	pods, labels := podsOf(ctx, c, namespace, workload)
	f.look(ctx, env, a, namespace, workload, enough)
	for _, e := range enough {
		e.pods, e.labels = pods, labels
		if err := suggest(e).print(env.Out); err != nil {
			return err
		}
	}
	return nil
}

// enough returns the evidence that suffices, with names, and says why other does not.
func (f *flags) enough(env *kube.Env, all []*evidence) (out []*evidence) {
	together(all)
	for _, e := range all {
		if why := e.enough(); why != "" {
			fmt.Fprintf(env.ErrOut, "Nothing for %s (%s): %s.\n", output.Text(e.flow.Destination), output.Text(e.flow.Protocol), why)
			continue
		}
		out = append(out, e)
	}
	names(out)
	return out
}

// gather asks for the inventory.
func (f *flags) gather(ctx context.Context, a *ask.Asker, namespace, workload string) ([]*evidence, error) {
	q := url.Values{"since": {f.since.String()}, "step": {step.String()}, "namespace": {namespace}, "workload": {workload}, "limit": {"64"}}
	if f.destination != "" {
		q.Set("destination", f.destination)
	}
	var got liveapi.Inventory
	if err := a.Manager(ctx, liveapi.InventoryPath, q, &got); err != nil {
		return nil, err
	}
	return gathered(&got), nil
}

// look samples calls while they end. Without it there is less to go by, which the suggestions say.
func (f *flags) look(ctx context.Context, env *kube.Env, a *ask.Asker, namespace, workload string, of []*evidence) {
	if f.sample == 0 {
		return
	}
	agents, err := a.AgentsOn(ctx, "")
	if err == nil {
		fmt.Fprintf(env.ErrOut, "Looking at calls for %s.\n", f.sample)
		q := url.Values{"namespace": {namespace}, "workload": {workload}, "for": {f.sample.String()}, "rate": {"1000"}}
		err = ask.Lines(ctx, a, a.Some(ctx, agents, namespace, ", which are known by the inventory alone"), liveapi.TapPath, q, func(l liveapi.TapLine) {
			if l.Call == nil || l.Call.Watched {
				return
			}
			for _, e := range of {
				if e.isOf(l.Call) {
					e.sample.add(l.Call)
				}
			}
		})
	}
	if err != nil {
		fmt.Fprintf(env.ErrOut, "Not all calls could be looked at: %s\n", output.Lines(err.Error()))
	}
}

// isOf reports whether a call is one of those that the evidence is about. A tap names hosts and addresses, an inventory destinations.
func (e *evidence) isOf(c *liveapi.Call) bool {
	of, port := splitPort(e.flow.Destination)
	host, called := splitPort(c.Host)
	if called == 0 {
		called = int32(c.To.Port())
	}
	if port > 0 && called > 0 && port != called {
		return false
	}
	host = hostOf(host)
	if namespace, name, ok := strings.Cut(of, "/"); ok {
		service, is := strings.CutPrefix(c.Target, "service ")
		service, _ = splitPort(service)
		full := name + "." + namespace
		return is && service == of || host == full || host == full+".svc" || strings.HasPrefix(host, full+".svc.") || namespace == e.namespace && host == name
	}
	return host == hostOf(of) || c.To.Addr().String() == strings.Trim(of, "[]")
}

func hostOf(named string) string { return strings.ToLower(strings.TrimSuffix(named, ".")) }

// podsOf returns how many pods a workload has, and what selects them; 0 and nil if that cannot be read.
func podsOf(ctx context.Context, c client.Reader, namespace, name string) (int, map[string]string) {
	key := client.ObjectKey{Namespace: namespace, Name: name}
	var d appsv1.Deployment
	if err := c.Get(ctx, key, &d); err == nil {
		return int(d.Status.Replicas), simple(d.Spec.Selector)
	} else if !apierrors.IsNotFound(err) {
		return 0, nil
	}
	var s appsv1.StatefulSet
	if err := c.Get(ctx, key, &s); err == nil {
		return int(s.Status.Replicas), simple(s.Spec.Selector)
	}
	var all appsv1.DaemonSet
	if err := c.Get(ctx, key, &all); err == nil {
		return int(all.Status.CurrentNumberScheduled), simple(all.Spec.Selector)
	}
	var p corev1.Pod
	if err := c.Get(ctx, key, &p); err == nil && len(p.Labels) > 0 && len(p.Labels) <= 16 {
		return 1, p.Labels
	}
	return 0, nil
}

// simple returns the labels of a selector that has nothing else.
func simple(s *metav1.LabelSelector) map[string]string {
	if s == nil || len(s.MatchExpressions) > 0 || len(s.MatchLabels) == 0 {
		return nil
	}
	return s.MatchLabels
}
