package breakers

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// The kinds of changes that are about breakers.
const (
	opened = "BreakerOpened"
	closed = "BreakerClosed"
	gone   = "BreakerGone"
)

// words are what is printed for them. The map is never written to.
var words = map[string]string{opened: "opened", closed: "closed", gone: "gone", "BreakerForced": "forced", "BreakerReleased": "released"}

// history are the flags of what lists when breakers opened and closed.
type history struct {
	kube.Listing
	since       time.Duration
	destination string
	policy      string // whose breakers; empty: those of all
}

func newHistory(env *kube.Env, reach ask.Reach) *cobra.Command {
	h := history{Listing: kube.Listing{Every: 2 * time.Second, Past: true}}
	cmd := &cobra.Command{
		Use:   "history [POLICY]",
		Short: "List when circuit breakers opened and closed of late",
		Long: `Lists when the circuit breakers of each destination opened, the first on any node, and closed, the last, and when they were kept open or closed by
annotation: the latest first. One that was open is gone when an edit removes it, or with its pods or its agent. The manager keeps the last 4096 changes of policies and their
breakers, since it leads.`,
		Example: "  kubectl fairlead breakers history -A\n  kubectl fairlead breakers history payments -n shop --since 24h\n  kubectl fairlead breakers history -A --destination billing/payments --watch",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := h.check(args); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			a := ask.New(env, c, reach)
			return h.Run(cmd.Context(), c, func(ctx context.Context) (*kube.Found, error) { return h.collect(ctx, env, c, a) })
		},
		ValidArgsFunction: kube.Arguments(env.CompletePolicyKeys()),
	}
	h.AddTo(cmd, env)
	cmd.Flags().DurationVar(&h.since, "since", time.Hour, "How far back to look, 168h at most")
	cmd.Flags().StringVar(&h.destination, "destination", "", "Only of destinations of policies that contain a text, such as billing/payments")
	cmd.Flags().DurationVar(&h.Every, "interval", h.Every, "With --watch: how often to look")
	return cmd
}

func (h *history) check(args []string) (err error) {
	switch {
	case h.since < time.Second || h.since > 7*24*time.Hour:
		return fmt.Errorf("--since %s: write a time from 1s to 168h", h.since)
	case h.Every < time.Second:
		return fmt.Errorf("--interval %s is too short: write 1s or more", h.Every)
	}
	if len(args) > 0 {
		h.policy, err = h.Key(args[0])
	}
	return err
}

// collect asks the manager.
func (h *history) collect(ctx context.Context, env *kube.Env, c client.Reader, a *ask.Asker) (*kube.Found, error) {
	wanted, err := h.Wanted(ctx, c)
	if err != nil {
		return nil, err
	}
	items, err := h.ask(ctx, a)
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(c liveapi.Change) bool {
		return words[c.Kind] == "" || !wanted(c.Policy) || !strings.Contains(c.Target, h.destination)
	})
	found := &kube.Found{Value: map[string]any{"changes": items}, Table: output.Table{
		Columns: output.Columns("POLICY", "DESTINATION", "CHANGE", "TIME", "~AGO", "AFTER", "+NOTE"), None: "No circuit breaker has opened or closed in " + h.since.String() + ", or since the manager leads.",
	}}
	after := lasted(items)
	for i := range items {
		c := &items[i]
		at := c.At.UTC().Format(time.RFC3339)
		found.Rows = append(found.Rows, output.Row{
			Name: kube.ResourceOf(c.Policy), Key: strings.Join([]string{c.At.Format(time.RFC3339Nano), c.Policy, c.Target, c.Kind}, "\x00"),
			Cells: []string{c.Policy, c.Target, words[c.Kind], at, duration.HumanDuration(env.Now().Sub(c.At)), after[i], c.Note},
		})
	}
	return found, nil
}

// ask returns the changes of each kind, the latest first. There may be more of other kinds than one answer has.
func (h *history) ask(ctx context.Context, a *ask.Asker) (all []liveapi.Change, err error) {
	for _, kind := range slices.Sorted(maps.Keys(words)) {
		q := url.Values{"since": {h.since.String()}, "limit": {"4096"}, "kind": {kind}}
		if h.policy != "" {
			q.Set("policy", h.policy)
		}
		var got liveapi.List[liveapi.Change]
		if err := a.Manager(ctx, liveapi.ChangesPath, q, &got); err != nil {
			return nil, err
		}
		all = append(all, got.Items...)
	}
	slices.SortStableFunc(all, func(a, b liveapi.Change) int { return b.At.Compare(a.At) })
	return all, nil
}

// lasted says of each breaker that has closed or is gone for how long it was open, as far as it opened among the changes, of which the latest come first.
func lasted(changes []liveapi.Change) []string {
	out, since := make([]string, len(changes)), map[string]time.Time{}
	for i, c := range slices.Backward(changes) {
		key := c.Policy + "\x00" + c.Target
		switch began, open := since[key]; {
		case c.Kind == opened && !open:
			since[key] = c.At
		case (c.Kind == closed || c.Kind == gone) && open:
			out[i] = c.At.Sub(began).Round(time.Second).String()
			delete(since, key)
		}
	}
	return out
}
