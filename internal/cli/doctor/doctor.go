// Package doctor is kubectl fairlead doctor: what is wrong with fairlead and its policies in a cluster, as far as the API server, the manager and the agents
// show it to who asks, with a fix for each.
package doctor

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// ErrProblems is returned when something is wrong: the exit status is 1 then.
var ErrProblems = errors.New("something is wrong: see above")

// patience is how long one answer of a manager or an agent is waited for.
const patience = 10 * time.Second

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

// newCommand returns the command; reach is nil but in tests.
func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var format, docs string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check fairlead and its policies, with a fix for what is wrong",
		Long: `Checks whether fairlead is installed and runs everywhere, whether nodes have what capturing pods takes (kernel, modules, container runtime), whether the pods that
policies select are captured and since when their connections are governed, whether clocks, certificates and the trust of pods in them are in order, and
whether policies have an effect; with a fix for what is wrong. It asks the API server, the manager and the agents, with the rights of who runs it; what may not be read is unknown.
The exit status is 1 if there is a problem.`,
		Example: "  kubectl fairlead doctor\n  kubectl fairlead doctor -o json",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := output.Format(format)
			if err := f.Check(output.JSON, output.YAML); err != nil {
				return err
			}
			if err := checkDocs(docs); err != nil {
				return fmt.Errorf("--docs-url: %w", err)
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			r := Check(cmd.Context(), Options{Env: env, Client: c, Ask: ask.New(env, c, reach).Within(patience), Docs: docs})
			if f != output.None {
				err = output.Value(env.Out, f, r)
			} else {
				r.print(env.Out)
			}
			if err == nil && r.Problems > 0 {
				return ErrProblems
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "", "Output format: json or yaml")
	cmd.Flags().StringVar(&docs, "docs-url", "", "Address of the docs that findings lead to (what the installation says, or "+defaultDocs+")")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
