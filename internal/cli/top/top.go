// Package top is kubectl fairlead top: who calls what, and how that goes.
package top

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/screen"
	"fairlead.dev/fairlead/internal/liveapi"
)

// flags are those of the command.
type flags struct {
	all, plain, watch                             bool
	workload, policy, destination, sorted, format string
	selector                                      string // of the calling pods
	since, every                                  time.Duration
	limit                                         int
	noHeaders                                     bool
}

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show which workload calls what, how often and how well",
		Long: `Shows the calls that policies govern, or that dry runs look at, by calling workload and destination: calls per second, success, retries, latency
and breakers, those with the most calls first. Under wide destinations (any, patterns of hosts, blocks) each that is really called has a line.

On a terminal it is a view that is kept up to date: keys sort it, / filters it, enter shows all about the selected line, and q ends it. Otherwise, and
with --plain, it is a table.`,
		Example: "  kubectl fairlead top -n shop\n  kubectl fairlead top -A --since 10m --sort success\n  kubectl fairlead top -A --watch --interval 10s",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), env, c, ask.New(env, c, reach))
		},
	}
	f.addTo(cmd)
	for name, by := range map[string]kube.Completion{
		"output": cobra.FixedCompletions(output.Formats, cobra.ShellCompDirectiveNoFileComp), "sort": cobra.FixedCompletions(orders(), cobra.ShellCompDirectiveNoFileComp),
		"policy": env.CompletePolicyKeys(), "workload": ask.CompleteCallers(env, reach), "destination": ask.CompleteCalled(env, reach),
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, by)
	}
	return cmd
}

func (f *flags) addTo(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVarP(&f.all, "all-namespaces", "A", false, "Show the calls of all namespaces")
	set.StringVarP(&f.selector, "selector", "l", "", "Label selector of the calling pods, such as team=shop,tier!=test")
	set.StringVar(&f.workload, "workload", "", "Show the calls of one workload, by its name, such as checkout or Deployment/checkout")
	set.StringVar(&f.policy, "policy", "", "Show the calls that a policy governs: namespace/name, or the name of a ClusterRetryPolicy")
	set.StringVar(&f.destination, "destination", "", "Show the calls to destinations that contain a text")
	set.StringVar(&f.sorted, "sort", "rps", "Sort by "+strings.Join(orders(), ", "))
	set.DurationVar(&f.since, "since", time.Minute, "How far back to count, an hour at most")
	set.IntVar(&f.limit, "limit", 50, "How many lines to show at most")
	set.BoolVar(&f.plain, "plain", false, "Print a table, on a terminal as well")
	set.BoolVarP(&f.watch, "watch", "w", false, "Print it again and again")
	set.DurationVar(&f.every, "interval", 5*time.Second, "How often to look again")
	set.BoolVar(&f.noHeaders, "no-headers", false, "Leave the head of the table out")
	set.StringVarP(&f.format, "output", "o", "", "Output format: wide, json, yaml or name")
}

func (f *flags) check() error {
	if !slices.Contains(orders(), f.sorted) {
		return fmt.Errorf("--sort %s: write one of %s", output.Text(f.sorted), strings.Join(orders(), ", "))
	}
	if f.every < time.Second {
		return fmt.Errorf("--interval %s is too short: write 1s or more", f.every)
	}
	return output.Format(f.format).Check(output.Wide, output.JSON, output.YAML, output.Name)
}

// run shows a view on a terminal, and prints otherwise.
func (f *flags) run(ctx context.Context, env *kube.Env, c client.Reader, a *ask.Asker) error {
	from := &source{asker: a, client: c}
	var err error
	if from.selector, err = f.selected(); err != nil {
		return err
	}
	if !f.all {
		if from.namespace, err = env.Namespace(); err != nil {
			return err
		}
	}
	format := output.Format(f.format)
	if table := format == output.None || format == output.Wide; table && !f.plain && !f.watch && screen.Live(env.Terminal) {
		return f.view(ctx, env, from)
	}
	return f.tables(ctx, env, from, format)
}

// tables prints what there is, and with --watch again and again. A look that fails after the first is made again.
func (f *flags) tables(ctx context.Context, env *kube.Env, from *source, format output.Format) error {
	var got *liveapi.Inventory
	look := func() (err error) {
		got, err = f.figures(ctx, from, f.enough())
		return err
	}
	err := look()
	for again := kube.NewAgain(env); err == nil; err = again.Until(ctx, look) {
		f.sort(got.Flows)
		if err := f.print(env, got, format); err != nil || !f.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.every):
		}
	}
	return ended(ctx, err)
}

// ended returns why it was not possible to go on, which is no error where somebody has ended it.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// maxFlows is how many flows are asked for where they are sorted here.
const maxFlows = 4096

// enough is how many flows to ask for: the manager sends those with the most calls, and there are to be enough to sort by something else.
func (f *flags) enough() int {
	if f.sorted != sortings[0].name {
		return max(f.limit, maxFlows)
	}
	return f.limit
}

// query is what the manager is asked.
func (f *flags) query(namespace string, limit int) url.Values {
	q := url.Values{"since": {f.since.String()}, "limit": {strconv.Itoa(limit)}}
	_, workload, kind := strings.Cut(f.workload, "/")
	if !kind {
		workload = f.workload
	}
	for name, value := range map[string]string{"namespace": namespace, "workload": workload, "policy": f.policy, "destination": f.destination} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}
