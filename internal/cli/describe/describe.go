// Package describe is kubectl fairlead describe: the policy in force after merging, with the source of each field, and what is not enforced.
package describe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/gather"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// New returns the command.
func New(env *kube.Env) *cobra.Command {
	var format string
	var all bool
	cmd := &cobra.Command{
		Use:   "describe POLICY",
		Short: "Show the policy in force after merging, with the source of each field",
		Long: `Shows what a policy comes to for the pods that it selects: merged with the ClusterRetryPolicies and RetryPolicies that govern the same calls, with
the source of each field, and what is not enforced where.`,
		Example: "  kubectl fairlead describe payments\n  kubectl fairlead describe clusterretrypolicy/safe-default --all",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("describe needs one policy: kubectl fairlead describe payments, or clusterretrypolicy/default")
			}
			return nil
		},
		ValidArgsFunction: env.CompletePolicies(),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := output.Format(format)
			if err := f.Check(output.JSON, output.YAML); err != nil {
				return err
			}
			d, err := collect(cmd.Context(), env, args[0])
			if err != nil {
				return err
			}
			if f != output.None {
				return output.Value(env.Out, f, d)
			}
			d.print(env.Out, all)
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "Show the fields that have their built-in default too, and every merge")
	cmd.Flags().StringVarP(&format, "output", "o", "", "Output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// Description is what describe prints.
type Description struct {
	Kind      string                 `json:"kind"`
	Namespace string                 `json:"namespace,omitempty"`
	Name      string                 `json:"name"`
	Selects   string                 `json:"selects"`
	Status    *v1alpha1.PolicyStatus `json:"status"`
	// Refused is why the policy is not in force as it is written.
	Refused []string `json:"refused,omitempty"`
	// Unenforced are fields that are set and not enforced, as far as the policy itself shows.
	Unenforced []Unenforced `json:"notEnforced,omitempty"`
	Merges     []Merge      `json:"merges"`
	Notes      []string     `json:"notes,omitempty"`
}

// Unenforced is a field that is set and not enforced.
type Unenforced struct {
	Field       string `json:"field"`
	Reason      string `json:"reason"`
	Destination string `json:"destination,omitempty"` // empty: all
}

// Merge is what the policy comes to for one destination and the pods that the same policies select.
type Merge struct {
	Destination string   `json:"destination"`
	Policies    []string `json:"policies"` // least significant first
	DryRun      bool     `json:"dryRun,omitempty"`
	// Pods are some of those pods, and AllPods how many there are.
	Pods    []string          `json:"pods"`
	AllPods int               `json:"allPods"`
	Fields  []effective.Field `json:"fields"`
	Rules   []Rule            `json:"rules,omitempty"`
}

// Rule is a rule and the fields in which it differs from the calls that no rule fits.
type Rule struct {
	Name   string            `json:"name"`
	Fields []effective.Field `json:"fields"`
}

// maxPods is how many pods of a merge are named.
const maxPods = 3

func collect(ctx context.Context, env *kube.Env, name string) (*Description, error) {
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	p, err := env.FindPolicy(ctx, c, name)
	if err != nil {
		return nil, err
	}
	return Of(ctx, env, c, p)
}

// Of describes a policy, with what it reads of the cluster.
func Of(ctx context.Context, env *kube.Env, c client.Reader, p *kube.Policy) (*Description, error) {
	var g *gather.Gathered
	var err error
	if p.Kind == v1alpha1.RetryPolicyKind {
		g, err = gather.Namespace(ctx, env, c, p.Object.GetNamespace(), false)
	} else {
		g, err = gather.Cluster(ctx, env, c)
	}
	if err != nil {
		return nil, err
	}
	d := &Description{
		Kind: p.Kind, Namespace: p.Object.GetNamespace(), Name: p.Object.GetName(), Status: p.Status, Merges: []Merge{}, Notes: g.Notes,
		Selects: selects(p),
	}
	id := policy.ID{Kind: policy.KindRetryPolicy, Namespace: d.Namespace, Name: d.Name}
	if p.Kind == v1alpha1.ClusterRetryPolicyKind {
		id.Kind = policy.KindClusterRetryPolicy
	}
	compiled := effective.Compile(&g.World, env.Now())
	d.merge(compiled, id, g.Pods)
	d.unenforced(compiled, id)
	if s := p.Status; s.Rollout != nil && s.InForceGeneration != p.Object.GetGeneration() {
		d.Notes = append(d.Notes, fmt.Sprintf("A rollout is under way: some nodes still have generation %d. What is shown is generation %d.", s.InForceGeneration, p.Object.GetGeneration()))
	}
	return d, nil
}

// unenforced says what of the policy is not in force, and not enforced.
func (d *Description) unenforced(compiled *effective.Compiled, id policy.ID) {
	for _, r := range compiled.Refused {
		if r.ID == id {
			for _, p := range r.Problems {
				d.Refused = append(d.Refused, p.Message)
			}
		}
	}
	src := compiled.Sources[id]
	seen := map[Unenforced]bool{}
	add := func(u Unenforced) {
		if !seen[u] {
			seen[u] = true
			d.Unenforced = append(d.Unenforced, u)
		}
	}
	for i := range d.Status.Destinations {
		for _, n := range d.Status.Destinations[i].NotEnforced {
			add(Unenforced{n.Field, n.Reason, d.Status.Destinations[i].To})
		}
	}
	for _, u := range compile.UnenforcedFields(&src) {
		to := ""
		if u.Target >= 0 && u.Target < len(d.Status.Destinations) {
			to = d.Status.Destinations[u.Target].To
		}
		if !slices.ContainsFunc(d.Unenforced, func(o Unenforced) bool {
			return o.Field == u.Field && o.Reason == u.Reason && (to == "" || o.Destination == to)
		}) {
			add(Unenforced{u.Field, u.Reason, to})
		}
	}
}

// merge finds what the policy comes to, for each set of policies that govern some pods together.
func (d *Description) merge(compiled *effective.Compiled, id policy.ID, pods []corev1.Pod) {
	places := map[string]int{}
	profiles := map[string]*effective.InForce{} // by the policies, and the namespace since policies may be relative to it
	for i := range pods {
		pod := &pods[i]
		f := compiled.For(pod)
		key := pod.Namespace
		for _, p := range f.Policies {
			key += " " + p.ID.String()
		}
		if known := profiles[key]; known != nil {
			f = known
		}
		profiles[key] = f
		for j := range f.Profile.Bindings {
			b := &f.Profile.Bindings[j]
			if !slices.Contains(b.Merged, id) || b.Unchanged {
				continue
			}
			at, known := places[b.Mode.String()+" "+b.Key]
			if !known {
				at = len(d.Merges)
				places[b.Mode.String()+" "+b.Key] = at
				d.Merges = append(d.Merges, mergeOf(f, b))
			}
			m := &d.Merges[at]
			if m.AllPods++; len(m.Pods) < maxPods {
				m.Pods = append(m.Pods, pod.Namespace+"/"+pod.Name)
			}
		}
	}
	slices.SortStableFunc(d.Merges, func(a, b Merge) int {
		if c := strings.Compare(a.Destination, b.Destination); c != 0 {
			return c
		}
		return strings.Compare(strings.Join(a.Policies, " "), strings.Join(b.Policies, " "))
	})
}

func mergeOf(f *effective.InForce, b *policy.Binding) Merge {
	m := Merge{Destination: effective.TargetName(&b.To), DryRun: b.Mode == policy.ModeDryRun, Fields: f.Fields(b, nil)}
	for _, l := range f.Layers(b, nil) {
		m.Policies = append(m.Policies, l.String())
	}
	for i := range b.Rules {
		r := Rule{Name: b.Rules[i].Name, Fields: []effective.Field{}}
		for _, field := range f.Fields(b, &b.Rules[i]) {
			if !slices.ContainsFunc(m.Fields, func(o effective.Field) bool { return o == field }) {
				r.Fields = append(r.Fields, field)
			}
		}
		m.Rules = append(m.Rules, r)
	}
	return m
}
