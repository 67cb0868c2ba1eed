// Package top is kubectl fairlead top: who calls what, and how that goes.
package top

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// flags are those of the command.
type flags struct {
	all, once                                     bool
	workload, policy, destination, sorted, format string
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
and breakers, those with the most calls first. Under wide destinations (any, patterns of hosts, blocks) each that is really called has a line. On a
terminal it is shown again every few seconds, until Ctrl-C.`,
		Example: "  kubectl fairlead top -n shop\n  kubectl fairlead top -A --since 10m --sort success\n  kubectl fairlead top -A --once -o json",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), env, ask.New(env, c, reach))
		},
	}
	set := cmd.Flags()
	set.BoolVarP(&f.all, "all-namespaces", "A", false, "Show the calls of all namespaces")
	set.StringVar(&f.workload, "workload", "", "Show the calls of one workload, by its name")
	set.StringVar(&f.policy, "policy", "", "Show the calls that a policy governs: namespace/name, or the name of a ClusterRetryPolicy")
	set.StringVar(&f.destination, "destination", "", "Show the calls to destinations that contain a text")
	set.StringVar(&f.sorted, "sort", "rps", "Sort by "+strings.Join(orders(), ", "))
	set.DurationVar(&f.since, "since", time.Minute, "How far back to count, an hour at most")
	set.IntVar(&f.limit, "limit", 50, "How many lines to show at most")
	set.BoolVar(&f.once, "once", false, "Show it once")
	set.DurationVar(&f.every, "interval", 5*time.Second, "How often to show it again")
	set.BoolVar(&f.noHeaders, "no-headers", false, "Leave the head of the table out")
	set.StringVarP(&f.format, "output", "o", "", "Output format: wide, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(orders(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// order is how flows can be sorted; the first comes first.
type order struct {
	name string
	less func(a, b *liveapi.Flow) int
}

// sortings are the orders. The slice is never written to.
var sortings = []order{
	{"rps", func(a, b *liveapi.Flow) int { return cmp.Compare(b.Calls, a.Calls) }},
	{"success", func(a, b *liveapi.Flow) int {
		return cmp.Compare(share(a.Successes, a.Calls), share(b.Successes, b.Calls))
	}},
	{"retries", func(a, b *liveapi.Flow) int { return cmp.Compare(b.Retries, a.Retries) }},
	{"p50", func(a, b *liveapi.Flow) int { return cmp.Compare(b.P50Seconds, a.P50Seconds) }},
	{"p99", func(a, b *liveapi.Flow) int { return cmp.Compare(b.P99Seconds, a.P99Seconds) }},
	{"workload", func(a, b *liveapi.Flow) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workload, b.Workload))
	}},
	{"destination", func(a, b *liveapi.Flow) int { return cmp.Compare(a.Destination, b.Destination) }},
}

func orders() []string {
	out := make([]string, len(sortings))
	for i := range sortings {
		out[i] = sortings[i].name
	}
	return out
}

func (f *flags) check() error {
	if !slices.Contains(orders(), f.sorted) {
		return fmt.Errorf("--sort %s: write one of %s", output.Text(f.sorted), strings.Join(orders(), ", "))
	}
	if f.every < time.Second {
		return fmt.Errorf("--interval %s is too short: write 1s or more", f.every)
	}
	return output.Format(f.format).Check(output.Wide, output.JSON, output.YAML)
}

// run shows it once, or again and again on a terminal.
func (f *flags) run(ctx context.Context, env *kube.Env, a *ask.Asker) error {
	namespace := ""
	if !f.all {
		var err error
		if namespace, err = env.Namespace(); err != nil {
			return err
		}
	}
	format := output.Format(f.format)
	live := !f.once && format != output.JSON && format != output.YAML && isTerminal(env.Terminal)
	for {
		var got liveapi.Inventory
		if err := a.Manager(ctx, liveapi.InventoryPath, f.query(namespace), &got); err != nil {
			return err
		}
		f.sort(got.Flows)
		if live {
			fmt.Fprint(env.Terminal, "\x1b[H\x1b[2J") // go to the top, and clear
		}
		if err := f.print(env, &got, format); err != nil || !live {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.every):
		}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// query is what the manager is asked. It sends the flows with the most calls, of which there are to be enough to sort by something else.
func (f *flags) query(namespace string) url.Values {
	q := url.Values{"since": {f.since.String()}, "limit": {strconv.Itoa(f.limit)}}
	if f.sorted != sortings[0].name {
		q.Set("limit", strconv.Itoa(max(f.limit, 4096)))
	}
	for name, value := range map[string]string{"namespace": namespace, "workload": f.workload, "policy": f.policy, "destination": f.destination} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

func (f *flags) sort(flows []liveapi.Flow) {
	by := sortings[slices.Index(orders(), f.sorted)].less
	slices.SortStableFunc(flows, func(a, b liveapi.Flow) int { return by(&a, &b) })
}

func (f *flags) print(env *kube.Env, got *liveapi.Inventory, format output.Format) error {
	if left := len(got.Flows) - f.limit; left > 0 {
		for i := range got.Flows[f.limit:] {
			got.LeftOutCalls += got.Flows[f.limit+i].Calls
		}
		got.LeftOut += left
		got.Flows = got.Flows[:f.limit]
	}
	if format == output.JSON || format == output.YAML {
		return output.Value(env.Out, format, got)
	}
	covered := got.To.Sub(got.From)
	if len(got.Flows) == 0 {
		fmt.Fprintf(env.ErrOut, "There were no calls in %s that a policy governs or a dry run looks at.\n", covered.Round(time.Second))
		return nil
	}
	t := output.Table{Columns: output.Columns("NAMESPACE", "WORKLOAD", "DESTINATION", "PROTOCOL", "RPS", "SUCCESS", "RETRIES", "P50", "P99", "BREAKER", "+POLICY", "+TARGET")}
	for i := range got.Flows {
		t.Rows = append(t.Rows, output.Row{Cells: cells(&got.Flows[i])})
	}
	if err := t.Print(env.Out, format == output.Wide, !f.noHeaders); err != nil {
		return err
	}
	if got.LeftOut > 0 {
		fmt.Fprintf(env.ErrOut, "%d more with %d calls; --limit shows more.\n", got.LeftOut, got.LeftOutCalls)
	}
	if got.Other.Calls > 0 {
		fmt.Fprintf(env.ErrOut, "%d calls of all namespaces are not counted apart: there are more callers and destinations than the manager keeps.\n", got.Other.Calls)
	}
	return nil
}

func cells(w *liveapi.Flow) []string {
	destination := w.Destination
	if w.Service != "" && w.Service != destination {
		destination += " (" + w.Service + ")"
	}
	return []string{
		w.Namespace, w.Workload, destination, w.Protocol, strconv.FormatFloat(w.PerSecond, 'f', 1, 64), percent(w.Successes, w.Calls),
		percent(w.Retries, w.Calls), latency(w.P50Seconds), latency(w.P99Seconds), w.Breaker, w.Policy, w.Target,
	}
}

func share(part, all uint64) float64 {
	if all == 0 {
		return 1
	}
	return float64(part) / float64(all)
}

// percent rounds down what is not all: 100 % has no failures.
func percent(part, all uint64) string {
	if all == 0 {
		return ""
	}
	if part >= all {
		return strconv.FormatUint(100*part/all, 10) + "%"
	}
	tenths := 1000 * part / all
	return fmt.Sprintf("%d.%d%%", tenths/10, tenths%10)
}

func latency(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
