package breakers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// manager is the field manager that the annotation is written by: status and Events name it as who did.
const manager = "kubectl-fairlead"

// force are the flags of what keeps breakers open or closed.
type force struct {
	env         *kube.Env
	open        bool
	period      time.Duration
	destination string
	dryRun      string
}

func (f *force) word() string {
	if f.open {
		return "open"
	}
	return "closed"
}

func newForce(env *kube.Env, open bool) *cobra.Command {
	f := force{env: env, open: open}
	cmd := &cobra.Command{
		Use: "open POLICY", Short: "Keep the circuit breakers of a policy open for a time: calls are rejected",
		Example: "  kubectl fairlead breakers open payments --for 10m\n  kubectl fairlead breakers open payments --destination shop/payments --for 1h",
	}
	if !open {
		cmd = &cobra.Command{
			Use: "close POLICY", Aliases: []string{"closed"}, Short: "Keep the circuit breakers of a policy closed for a time: calls pass",
			Example: "  kubectl fairlead breakers close payments --for 10m",
		}
	}
	cmd.Args, cmd.ValidArgsFunction = onePolicy, env.CompletePolicies()
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), args[0]) }
	cmd.Flags().DurationVar(&f.period, "for", 0, "For how long, at most 24h, such as 10m (required)")
	cmd.Flags().StringVar(&f.destination, "destination", "", "Of one destination only: an entry of to by its number, or as status names it")
	_ = cmd.RegisterFlagCompletionFunc("destination", f.completeDestination)
	addDryRun(cmd, &f.dryRun)
	return cmd
}

// completeDestination completes a word with the destinations of the policy that is the argument.
func (f *force) completeDestination(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	return f.env.Complete(begun, func(ctx context.Context, c client.Client) (names []string) {
		if len(args) != 1 {
			return nil
		}
		p, err := f.env.FindPolicy(ctx, c, args[0])
		if err != nil {
			return nil
		}
		for i := range p.Status.Destinations {
			names = append(names, p.Status.Destinations[i].To)
		}
		return names
	})
}

func newReset(env *kube.Env) *cobra.Command {
	f := force{env: env}
	cmd := &cobra.Command{
		Use: "reset POLICY", Short: "End what keeps the circuit breakers of a policy open or closed",
		Args: onePolicy, ValidArgsFunction: env.CompletePolicies(),
		RunE: func(cmd *cobra.Command, args []string) error { return f.reset(cmd.Context(), args[0]) },
	}
	addDryRun(cmd, &f.dryRun)
	return cmd
}

func addDryRun(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "dry-run", "none", "none, client (print what would be written) or server (have it checked, and not kept)")
	cmd.Flags().Lookup("dry-run").NoOptDefVal = "client"
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"none", "client", "server"}, cobra.ShellCompDirectiveNoFileComp))
}

func onePolicy(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs one policy: %s payments, or %s clusterretrypolicy/default", cmd.CommandPath(), cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

func (f *force) run(ctx context.Context, name string) error {
	if f.period < time.Second || f.period > compile.MaxForced {
		return fmt.Errorf("--for %s: say for how long, from 1s to 24h, such as --for 10m", f.period)
	}
	c, err := f.env.Client()
	if err != nil {
		return err
	}
	p, err := f.env.FindPolicy(ctx, c, name)
	if err != nil {
		return err
	}
	entry, err := entryOf(p, f.destination)
	if err != nil {
		return err
	}
	of := ""
	if entry >= 0 {
		of = fmt.Sprintf(" to[%d]", entry)
	}
	until := f.env.Now().Add(f.period).UTC().Truncate(time.Second)
	value := fmt.Sprintf("%s%s until %s", f.word(), of, until.Format(time.RFC3339))
	return f.write(ctx, c, p, &value, fmt.Sprintf("circuit breakers%s kept %s until %s", of, f.word(), until.Format(time.RFC3339)))
}

func (f *force) reset(ctx context.Context, name string) error {
	c, err := f.env.Client()
	if err != nil {
		return err
	}
	p, err := f.env.FindPolicy(ctx, c, name)
	if err != nil {
		return err
	}
	if _, there := p.Object.GetAnnotations()[v1alpha1.AnnotationCircuitBreaker]; !there {
		fmt.Fprintf(f.env.Out, "%s: nothing keeps its circuit breakers open or closed\n", p.Resource())
		return nil
	}
	return f.write(ctx, c, p, nil, "circuit breakers decide for themselves again")
}

// write writes the annotation, or removes it if value is nil, with the rights of who runs the command.
func (f *force) write(ctx context.Context, c client.Client, p *kube.Policy, value *string, done string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1alpha1.AnnotationCircuitBreaker: value}}})
	if err != nil {
		return fmt.Errorf("write the annotation: %w", err)
	}
	options := []client.PatchOption{client.FieldOwner(manager)}
	switch f.dryRun {
	case "none", "":
	case "client":
		fmt.Fprintf(f.env.Out, "%s: would be patched with %s (dry run)\n", p.Resource(), patch)
		return nil
	case "server":
		options = append(options, client.DryRunAll)
		done += " (server dry run)"
	default:
		return fmt.Errorf("--dry-run %s: write none, client or server", f.dryRun)
	}
	if err := c.Patch(ctx, p.Object, client.RawPatch(types.MergePatchType, patch), options...); err != nil {
		return kube.Explain(err, "annotate "+p.Resource())
	}
	fmt.Fprintf(f.env.Out, "%s: %s\n", p.Resource(), done)
	return nil
}

// entryOf returns the entry of to that is meant, or -1 for all.
func entryOf(p *kube.Policy, destination string) (int, error) {
	if destination == "" {
		return -1, nil
	}
	var labels []string
	for i := range p.Status.Destinations {
		labels = append(labels, p.Status.Destinations[i].To)
	}
	if i := slices.Index(labels, destination); i >= 0 {
		return i, nil
	}
	text := strings.TrimSuffix(strings.TrimPrefix(destination, "to["), "]")
	if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(p.To()) {
		return i, nil
	}
	return 0, fmt.Errorf("--destination %q is none of the policy's: write a number from 0 to %d, or one of %s", destination, len(p.To())-1, strings.Join(labels, ", "))
}
