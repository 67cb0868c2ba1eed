package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/output"
)

// Listing holds the flags of a command that lists: which objects, and how to print them.
type Listing struct {
	env           *Env
	AllNamespaces bool
	Selector      string
	Output        string
	NoHeaders     bool
	Watch         bool
	// Past: rows are what has happened. That one is not listed any more, or not as before, is no event, since it only was too long ago, or what came before it was.
	Past bool
	// Every is how often to look with Watch where it is not enough to do so when policies change; 0: it is.
	Every time.Duration
}

// AddTo adds the flags to a command.
func (l *Listing) AddTo(cmd *cobra.Command, env *Env) {
	l.env = env
	flags := cmd.Flags()
	flags.BoolVarP(&l.AllNamespaces, "all-namespaces", "A", false, "List across all namespaces")
	flags.StringVarP(&l.Selector, "selector", "l", "", "Label selector of the policies, such as team=shop,tier!=test")
	flags.StringVarP(&l.Output, "output", "o", "", "Output format: wide, json, yaml or name")
	flags.BoolVar(&l.NoHeaders, "no-headers", false, "Leave the head of the table out")
	flags.BoolVarP(&l.Watch, "watch", "w", false, "After listing, print what changes, with an event: ADDED, MODIFIED or DELETED")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(output.Formats, cobra.ShellCompDirectiveNoFileComp))
}

// Options returns how to list namespaced objects.
func (l *Listing) Options() (*client.ListOptions, error) {
	o := &client.ListOptions{}
	if l.Selector != "" {
		s, err := labels.Parse(l.Selector)
		if err != nil {
			return nil, fmt.Errorf("--selector: %w: write it as team=shop,tier!=test", err)
		}
		o.LabelSelector = s
	}
	if l.AllNamespaces {
		return o, nil
	}
	var err error
	o.Namespace, err = l.env.Namespace()
	return o, err
}

// Key returns a policy that an argument names as fairlead names it: namespace/name, in the namespace of the flags if it names none, or the name of a
// ClusterRetryPolicy, which a name alone is with -A.
func (l *Listing) Key(arg string) (string, error) {
	kind, name, err := ParsePolicy(arg)
	switch {
	case err != nil: // namespace/name
		return arg, nil
	case kind == v1alpha1.ClusterRetryPolicyKind, kind == "" && l.AllNamespaces:
		return name, nil
	}
	namespace, err := l.env.Namespace()
	return namespace + "/" + name, err
}

// Wanted says of policies, as fairlead names them, whether the flags choose them.
func (l *Listing) Wanted(ctx context.Context, c client.Reader) (func(key string) bool, error) {
	options, err := l.Options()
	if err != nil {
		return nil, err
	}
	if l.Selector == "" {
		return func(key string) bool {
			return options.Namespace == "" || !strings.Contains(key, "/") || strings.HasPrefix(key, options.Namespace+"/")
		}, nil
	}
	policies, err := Policies(ctx, c, options)
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for i := range policies {
		keys[policies[i].Key()] = true
	}
	return func(key string) bool { return keys[key] }, nil
}

// Found is what a listing has found: text, a table below it, and the same as a value for JSON and YAML.
type Found struct {
	Text string
	output.Table
	Value any
	// Unread are sentences about what could not be read, and so is not among it.
	Unread []string
	// MayBe reports whether something that was listed before may still be there though it is not among the rows, since what it is of could not be read. nil:
	// all was read.
	MayBe func(r *output.Row) bool
}

// keep takes over rows of before that may still be there.
func (f *Found) keep(before *Found) {
	if f.MayBe == nil {
		return
	}
	listed := map[string]bool{}
	for i := range f.Rows {
		listed[f.Rows[i].Key] = true
	}
	for _, r := range before.Rows {
		if !listed[r.Key] && f.MayBe(&r) {
			f.Rows = append(f.Rows, r)
		}
	}
}

// Run prints what collect finds, and with --watch what becomes of the rows, until ctx ends. A look that fails by what passes is made again (Again), but for
// the first. What is watched are the policies.
func (l *Listing) Run(ctx context.Context, c client.WithWatch, collect func(context.Context) (*Found, error)) error {
	format := output.Format(l.Output)
	if err := format.Check(output.Wide, output.JSON, output.YAML, output.Name); err != nil {
		return err
	}
	watched, err := l.watch(ctx, c)
	if err != nil {
		return err
	}
	defer watched.stop()
	found, err := collect(ctx)
	if err != nil {
		return err
	}
	p := printer{Listing: l, format: format, head: !l.NoHeaders}
	if err := p.first(found); err != nil || !l.Watch {
		return err
	}
	for watched.next(ctx) {
		var now *Found
		err := watched.again.Until(ctx, func() (err error) {
			now, err = collect(ctx)
			return err
		})
		if ctx.Err() != nil {
			return nil //nolint:nilerr // somebody has ended it
		}
		if err != nil {
			return err
		}
		if err := p.changes(now, found); err != nil {
			return err
		}
		found = now
	}
	return watched.err
}
