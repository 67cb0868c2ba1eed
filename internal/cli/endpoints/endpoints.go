// Package endpoints is kubectl fairlead endpoints: how the endpoints of destinations stand, on each node.
package endpoints

import (
	"cmp"
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
	"fairlead.dev/fairlead/internal/liveapi"
)

type flags struct {
	kube.Listing
	node    string
	ejected bool
	policy  string // whose endpoints to show; empty: of all

	shown map[string]bool // with ejected: those that were shown, whose return is shown too while they are watched
}

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	f := flags{Listing: kube.Listing{Every: 2 * time.Second}, shown: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "endpoints [POLICY]",
		Short: "Show the endpoints of a policy's destinations: which are ejected or probed, their weights, and the calls under way",
		Long: `Shows the endpoints that agents choose among, of the destinations of a policy or of all. Each node judges for itself: an endpoint that is ejected on
one may be in on another. It is about the policies of all namespaces, unless -n names one.`,
		Example: "  kubectl fairlead endpoints shop/payments\n  kubectl fairlead endpoints --ejected --watch\n  kubectl fairlead endpoints --node node-1 -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("namespace") {
				f.AllNamespaces = true
			}
			if err := f.check(args); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			a := ask.New(env, c, reach)
			return f.Run(cmd.Context(), c, func(ctx context.Context) (*kube.Found, error) { return f.collect(ctx, c, a) })
		},
		ValidArgsFunction: kube.Arguments(env.CompletePolicyKeys()),
	}
	f.AddTo(cmd, env)
	set := cmd.Flags()
	set.StringVar(&f.node, "node", "", "Show what one node sees")
	set.BoolVar(&f.ejected, "ejected", false, "Show only those that are ejected or probed")
	_ = cmd.RegisterFlagCompletionFunc("node", env.CompleteNodes())
	set.DurationVar(&f.Every, "interval", f.Every, "With --watch: how often to look")
	return cmd
}

// check takes the policy that arguments name, in the namespace of -n if they name none, and says what is wrong with the flags.
func (f *flags) check(args []string) error {
	if f.Every < time.Second {
		return fmt.Errorf("--interval %s is too short: write 1s or more", f.Every)
	}
	var err error
	if len(args) > 0 {
		f.policy, err = f.Key(args[0])
	}
	return err
}

// collect asks the agents.
func (f *flags) collect(ctx context.Context, c client.Reader, a *ask.Asker) (*kube.Found, error) {
	wanted, err := f.Wanted(ctx, c)
	if err != nil {
		return nil, err
	}
	agents, err := a.AgentsOn(ctx, f.node)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	if f.policy != "" {
		q.Set("policy", f.policy)
	}
	found := &kube.Found{}
	answers, err := answered(ask.Each[liveapi.List[liveapi.Endpoints]](ctx, a, agents, liveapi.EndpointsPath, q), found)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		answers[i].Items = slices.DeleteFunc(answers[i].Items, func(e liveapi.Endpoints) bool { return !wanted(e.Policy) })
	}
	slices.SortFunc(answers, func(a, b liveapi.List[liveapi.Endpoints]) int { return cmp.Compare(a.Node, b.Node) })
	found.Table, found.Value = *f.table(answers), answers
	return found, nil
}

// answered returns what the agents have answered that have, and notes of which nodes nothing is known now. It is an error if none has.
func answered(all []ask.Answer[liveapi.List[liveapi.Endpoints]], found *kube.Found) (answers []liveapi.List[liveapi.Endpoints], err error) {
	silent := map[string]bool{}
	for i := range all {
		of := &all[i]
		if of.Err == nil {
			answers = append(answers, of.Value)
			continue
		}
		if err == nil {
			err = of.Err
		}
		silent[of.Pod.Spec.NodeName] = true
		found.Unread = append(found.Unread, of.Err.Error())
	}
	if len(answers) == 0 {
		return nil, err
	}
	found.MayBe = func(r *output.Row) bool { return silent[r.Cells[nodeCell]] }
	return answers, nil
}

// nodeCell is where a row has its node.
const nodeCell = 3

func (f *flags) table(answers []liveapi.List[liveapi.Endpoints]) *output.Table {
	t := &output.Table{Columns: output.Columns("POLICY", "DESTINATION", "ENDPOINT", "NODE", "STATE", "WEIGHT", "~OUTSTANDING", "EJECTIONS", "~FOR", "+~NEXT PROBE", "+RULE", "+POD"),
		None: "No agent has such an endpoint."}
	for _, list := range answers {
		for _, d := range list.Items {
			for i := range d.Endpoints {
				f.add(t, &list, &d, &d.Endpoints[i])
			}
		}
	}
	slices.SortStableFunc(t.Rows, func(a, b output.Row) int { return slices.Compare(a.Cells[:4], b.Cells[:4]) })
	return t
}

// add adds a row for an endpoint, or one for each of the breakers that judge it.
func (f *flags) add(t *output.Table, list *liveapi.List[liveapi.Endpoints], d *liveapi.Endpoints, e *liveapi.Endpoint) {
	row := []string{d.Policy, d.Destination, e.Address.String(), list.Node}
	keyOf := func(key string) string { return strings.Join(append(slices.Clone(row), key), "\x00") }
	put := func(key string, cells ...string) {
		t.Rows = append(t.Rows, output.Row{Name: kube.ResourceOf(d.Policy), Key: keyOf(key), Cells: append(slices.Clone(row), cells...)})
	}
	if len(e.Judged) == 0 {
		if !f.ejected {
			put("", "not judged", "", strconv.Itoa(e.Outstanding), "", "", "", "", "")
		}
		return
	}
	for _, j := range e.Judged {
		state := map[string]string{"closed": "in", "open": "ejected", "half_open": "probed"}[j.State]
		whose := j.Rule + "\x00" + j.Pod
		if f.ejected && j.State == "closed" && !f.shown[keyOf(whose)] {
			continue
		}
		f.shown[keyOf(whose)] = true
		put(whose, cmp.Or(state, j.State), strconv.FormatFloat(j.Weight, 'g', 2, 64), strconv.Itoa(e.Outstanding),
			strconv.FormatUint(j.Ejections, 10), after(list.At, j.Since), after(j.Until, list.At), j.Rule, j.Pod)
	}
}

// after is how long a time is after another one; empty if either is none.
func after(a, b time.Time) string {
	if a.IsZero() || b.IsZero() || !a.After(b) {
		return ""
	}
	return a.Sub(b).Round(time.Second).String()
}
