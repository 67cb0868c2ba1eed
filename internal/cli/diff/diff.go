// Package diff is kubectl fairlead diff: what policies in files would alter, in which pods and which fields.
package diff

import (
	"context"
	"errors"
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
	"fairlead.dev/fairlead/internal/cli/schema"
	"fairlead.dev/fairlead/internal/policy"
)

// ErrDiffers is returned when something would be altered, as kubectl diff does: the exit status is 1 then.
var ErrDiffers = errors.New("policies would alter what is in force")

// FailedError is why it could not be compared.
type FailedError struct{ Err error }

// Error implements error.
func (e *FailedError) Error() string { return e.Err.Error() }

// Unwrap returns the error within.
func (e *FailedError) Unwrap() error { return e.Err }

// New returns the command.
func New(env *kube.Env) *cobra.Command {
	var files gather.Files
	var format string
	var remove bool
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what policies in files would alter: which pods, which effective fields",
		Long: `Shows what it would alter to apply the policies in files: for which pods, calls to which destinations, and which fields in force, before and
after merging with all other policies. Nothing is written. The exit status is 0 if nothing would be altered, 1 if something would, and above 1 on an error.`,
		Example: "  kubectl fairlead diff -f payments.yaml\n  kubectl fairlead diff -f payments.yaml --delete\n  kustomize build . | kubectl fairlead diff -f -",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			differs, err := run(cmd.Context(), env, &files, output.Format(format), remove)
			switch {
			case err != nil:
				return &FailedError{err}
			case differs:
				return ErrDiffers
			}
			return nil
		},
	}
	files.AddTo(cmd, "Files or directories with policies")
	cmd.Flags().BoolVar(&remove, "delete", false, "Show what it would alter to delete the policies")
	cmd.Flags().StringVarP(&format, "output", "o", "", "Output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func run(ctx context.Context, env *kube.Env, files *gather.Files, format output.Format, remove bool) (differs bool, err error) {
	if err := format.Check(output.JSON, output.YAML); err != nil {
		return false, err
	}
	if !files.Given() {
		return false, errors.New("diff needs policies to compare with: -f payments.yaml")
	}
	d, err := collect(ctx, env, files, remove)
	if err != nil {
		return false, err
	}
	if format != output.None {
		return d.differs(), output.Value(env.Out, format, d)
	}
	d.print(env.Out)
	return d.differs(), nil
}

// Difference is what would be altered.
type Difference struct {
	// Refused are policies of the files that would not be in force as they are written, and why.
	Refused []string `json:"refused,omitempty"`
	Changes []Change `json:"changes"`
	Notes   []string `json:"notes,omitempty"`
}

func (d *Difference) differs() bool { return len(d.Changes)+len(d.Refused) > 0 }

// Change is what would be altered for calls to one destination.
type Change struct {
	Destination string `json:"destination"`
	// Rule is whose calls they are; empty: those that no rule fits.
	Rule   string  `json:"rule,omitempty"`
	What   string  `json:"what"` // governed, no longer governed, changed
	Fields []Field `json:"fields,omitempty"`
	// Pods are some of the pods, and AllPods how many there are.
	Pods    []string `json:"pods"`
	AllPods int      `json:"allPods"`
}

// Field is a field in force before and after.
type Field struct {
	Path   string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Source string `json:"source"`
}

func collect(ctx context.Context, env *kube.Env, files *gather.Files, remove bool) (*Difference, error) {
	objects, err := files.Objects(env)
	if err == nil && !remove {
		err = schema.New().All(objects)
	}
	if err != nil {
		return nil, err
	}
	given, err := gather.World(env, objects)
	if err != nil {
		return nil, err
	}
	if len(given.RetryPolicies)+len(given.ClusterRetryPolicies) == 0 {
		return nil, fmt.Errorf("the files have no policies of %s", v1alpha1.GroupVersion())
	}
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	d := &Difference{Changes: []Change{}}
	for _, namespace := range concerned(given) {
		before, err := read(ctx, env, c, namespace, given)
		if err != nil {
			return nil, err
		}
		d.compare(env, before, after(&before.World, given, remove), given)
		d.Notes = append(d.Notes, before.Notes...)
	}
	return d, nil
}

// concerned lists the namespaces that policies concern, or "" alone for all.
func concerned(g *gather.Gathered) []string {
	if len(g.ClusterRetryPolicies) > 0 {
		return []string{""}
	}
	var names []string
	for i := range g.RetryPolicies {
		names = append(names, g.RetryPolicies[i].Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func read(ctx context.Context, env *kube.Env, c client.Reader, namespace string, given *gather.Gathered) (*gather.Gathered, error) {
	if namespace == "" {
		return gather.Cluster(ctx, env, c)
	}
	return gather.Namespace(ctx, env, c, namespace, false, given.ServiceNames(namespace)...)
}

// after returns the world with the policies of the files in place of those that there are.
func after(w *effective.World, given *gather.Gathered, remove bool) *effective.World {
	out := *w
	out.RetryPolicies = replaced(w.RetryPolicies, given.RetryPolicies, remove, func(p *v1alpha1.RetryPolicy) client.Object { return p },
		func(dst, src *v1alpha1.RetryPolicy) { dst.Status = src.Status })
	out.ClusterRetryPolicies = replaced(w.ClusterRetryPolicies, given.ClusterRetryPolicies, remove, func(p *v1alpha1.ClusterRetryPolicy) client.Object { return p },
		func(dst, src *v1alpha1.ClusterRetryPolicy) { dst.Status = src.Status })
	return &out
}

func replaced[T any](there, given []T, remove bool, object func(*T) client.Object, keep func(dst, src *T)) []T {
	out := slices.Clone(there)
	for i := range given {
		next := given[i]
		o := object(&next)
		at := slices.IndexFunc(out, func(t T) bool {
			p := object(&t)
			return p.GetName() == o.GetName() && p.GetNamespace() == o.GetNamespace()
		})
		switch {
		case at >= 0 && remove:
			out = slices.Delete(out, at, at+1)
		case at >= 0:
			old := object(&out[at])
			o.SetCreationTimestamp(old.GetCreationTimestamp()) // conflicts go by age
			o.SetGeneration(old.GetGeneration() + 1)
			o.SetAnnotations(annotations(old.GetAnnotations(), o.GetAnnotations()))
			keep(&next, &out[at])
			out[at] = next
		case !remove:
			out = append(out, next)
		}
	}
	return out
}

// annotations are those that there are, with those of the file over them: applying leaves alone what others wrote.
func annotations(old, given map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	for k, v := range given {
		out[k] = v
	}
	return out
}

func (d *Difference) compare(env *kube.Env, before *gather.Gathered, next *effective.World, given *gather.Gathered) {
	was, will := effective.Compile(&before.World, env.Now()), effective.Compile(next, env.Now())
	for _, r := range will.Refused {
		if slices.ContainsFunc(was.Refused, func(o effective.Refused) bool { return o.ID == r.ID && slices.Equal(o.Problems, r.Problems) }) {
			continue // as it is now
		}
		if slices.ContainsFunc(given.RetryPolicies, func(p v1alpha1.RetryPolicy) bool { return p.Namespace == r.ID.Namespace && p.Name == r.ID.Name }) ||
			r.ID.Kind == policy.KindClusterRetryPolicy && slices.ContainsFunc(given.ClusterRetryPolicies, func(p v1alpha1.ClusterRetryPolicy) bool { return p.Name == r.ID.Name }) {
			d.Refused = append(d.Refused, r.ID.Kind.String()+" "+r.ID.String()+": "+r.Problems[0].Message)
		}
	}
	places := map[string]int{}
	for i := range before.Pods {
		pod := &before.Pods[i]
		for _, c := range comparePod(was.For(pod), will.For(pod)) {
			d.add(places, c, pod)
		}
	}
}

// add adds a change of a pod, to that of other pods if it is the same.
func (d *Difference) add(places map[string]int, c Change, pod *corev1.Pod) {
	var key strings.Builder
	fmt.Fprintf(&key, "%s\n%s\n%s\n%v", c.Destination, c.Rule, c.What, c.Fields)
	at, known := places[key.String()]
	if !known {
		at = len(d.Changes)
		places[key.String()] = at
		d.Changes = append(d.Changes, c)
	}
	to := &d.Changes[at]
	if to.AllPods++; len(to.Pods) < maxPods {
		to.Pods = append(to.Pods, pod.Namespace+"/"+pod.Name)
	}
}

// maxPods is how many pods of a change are named.
const maxPods = 3
