package top

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

func (f *flags) print(env *kube.Env, got *liveapi.Inventory, format output.Format) error {
	unknown := got.LeftOut
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
	if format == output.Name {
		names(env.Out, got.Flows)
		return nil
	}
	t := output.Table{Columns: output.Columns("NAMESPACE", "WORKLOAD", "DESTINATION", "PROTOCOL", "RPS", "SUCCESS", "RETRIES", "P50", "P99", "BREAKER", "+POLICY", "+TARGET")}
	for i := range got.Flows {
		t.Rows = append(t.Rows, output.Row{Cells: cells(&got.Flows[i])})
	}
	if err := t.Print(env.Out, format == output.Wide, !f.noHeaders); err != nil {
		return err
	}
	f.notes(env.ErrOut, got, unknown)
	return nil
}

// notes says what the table does not show. unknown is how many flows the manager has left out.
func (f *flags) notes(w io.Writer, got *liveapi.Inventory, unknown int) {
	if f.selector != "" && unknown > 0 {
		fmt.Fprintf(w, "Of %d more it is not known whether --selector selects them: ask for fewer with --workload, --policy or --destination.\n", unknown)
	} else if got.LeftOut > 0 {
		fmt.Fprintf(w, "%d more with %d calls; --limit shows more.\n", got.LeftOut, got.LeftOutCalls)
	}
	if got.Other.Calls > 0 {
		fmt.Fprintf(w, "%d calls of all namespaces are not counted apart: there are more callers and destinations than the manager keeps.\n", got.Other.Calls)
	}
}

// names prints each workload once, in the order of the flows: a name for --workload, since several kinds of objects can be a workload.
func names(w io.Writer, flows []liveapi.Flow) {
	seen := map[caller]bool{}
	for i := range flows {
		if c := (caller{flows[i].Namespace, flows[i].Workload}); !seen[c] {
			seen[c] = true
			fmt.Fprintln(w, "workload/"+output.Text(c.workload))
		}
	}
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
	case seconds >= liveapi.LongestSeconds:
		return fmt.Sprintf(">%ds", liveapi.LongestSeconds)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
