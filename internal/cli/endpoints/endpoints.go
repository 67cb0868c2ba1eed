// Package endpoints is kubectl fairlead endpoints: how the endpoints of destinations stand, on each node.
package endpoints

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

type flags struct {
	node, format       string
	ejected, noHeaders bool
}

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "endpoints [POLICY]",
		Short: "Show the endpoints of a policy's destinations: which are ejected or probed, their weights, and the calls under way",
		Long: `Shows the endpoints that agents choose among, of the destinations of a policy or of all. Each node judges for itself: an endpoint that is ejected on
one may be in on another.`,
		Example: "  kubectl fairlead endpoints shop/payments\n  kubectl fairlead endpoints --ejected\n  kubectl fairlead endpoints --node node-1 -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Format(f.format).Check(output.Wide, output.JSON, output.YAML); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return run(cmd.Context(), env, ask.New(env, c, reach), &f, args)
		},
		ValidArgsFunction: env.CompletePolicies(),
	}
	set := cmd.Flags()
	set.StringVar(&f.node, "node", "", "Show what one node sees")
	set.BoolVar(&f.ejected, "ejected", false, "Show only those that are ejected or probed")
	set.BoolVar(&f.noHeaders, "no-headers", false, "Leave the head of the table out")
	set.StringVarP(&f.format, "output", "o", "", "Output format: wide, json or yaml")
	return cmd
}

func run(ctx context.Context, env *kube.Env, a *ask.Asker, f *flags, args []string) error {
	agents, err := a.AgentsOn(ctx, f.node)
	if err != nil {
		return err
	}
	q := url.Values{}
	if len(args) > 0 {
		q.Set("policy", args[0])
	}
	answers, failed := ask.Agents[liveapi.List[liveapi.Endpoints]](ctx, a, agents, liveapi.EndpointsPath, q)
	for _, err := range failed {
		fmt.Fprintf(env.ErrOut, "not among it: %v\n", err)
	}
	if len(answers) == 0 && len(failed) > 0 {
		return failed[0]
	}
	slices.SortFunc(answers, func(a, b liveapi.List[liveapi.Endpoints]) int { return cmp.Compare(a.Node, b.Node) })
	format := output.Format(f.format)
	if format == output.JSON || format == output.YAML {
		return output.Value(env.Out, format, answers)
	}
	t := table(answers, f.ejected)
	if len(t.Rows) == 0 {
		fmt.Fprintln(env.ErrOut, "No agent has such an endpoint.")
		return nil
	}
	return t.Print(env.Out, format == output.Wide, !f.noHeaders)
}

func table(answers []liveapi.List[liveapi.Endpoints], ejected bool) *output.Table {
	t := &output.Table{Columns: output.Columns("POLICY", "DESTINATION", "ENDPOINT", "NODE", "STATE", "WEIGHT", "OUTSTANDING", "EJECTIONS", "FOR", "+NEXT PROBE", "+RULE", "+POD")}
	for _, list := range answers {
		for _, d := range list.Items {
			for i := range d.Endpoints {
				add(t, &list, &d, &d.Endpoints[i], ejected)
			}
		}
	}
	slices.SortStableFunc(t.Rows, func(a, b output.Row) int { return slices.Compare(a.Cells[:4], b.Cells[:4]) })
	return t
}

// add adds a row for an endpoint, or one for each of the breakers that judge it.
func add(t *output.Table, list *liveapi.List[liveapi.Endpoints], d *liveapi.Endpoints, e *liveapi.Endpoint, ejected bool) {
	row := []string{d.Policy, d.Destination, e.Address.String(), list.Node}
	if len(e.Judged) == 0 {
		if !ejected {
			t.Rows = append(t.Rows, output.Row{Cells: append(row, "not judged", "", strconv.Itoa(e.Outstanding), "", "", "", "", "")})
		}
		return
	}
	for _, j := range e.Judged {
		state := map[string]string{"closed": "in", "open": "ejected", "half_open": "probed"}[j.State]
		if ejected && j.State == "closed" {
			continue
		}
		t.Rows = append(t.Rows, output.Row{Cells: append(slices.Clone(row), cmp.Or(state, j.State), strconv.FormatFloat(j.Weight, 'g', 2, 64),
			strconv.Itoa(e.Outstanding), strconv.FormatUint(j.Ejections, 10), after(list.At, j.Since), after(j.Until, list.At), j.Rule, j.Pod)})
	}
}

// after is how long a time is after another one; empty if either is none.
func after(a, b time.Time) string {
	if a.IsZero() || b.IsZero() || !a.After(b) {
		return ""
	}
	return a.Sub(b).Round(time.Second).String()
}
