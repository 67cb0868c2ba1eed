// Package cli is kubectl fairlead: the root of its commands. Each command lives in a package of its own, and is registered in New.
package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/internal/cli/breakers"
	"fairlead.dev/fairlead/internal/cli/bundle"
	"fairlead.dev/fairlead/internal/cli/dashboard"
	"fairlead.dev/fairlead/internal/cli/describe"
	"fairlead.dev/fairlead/internal/cli/diff"
	"fairlead.dev/fairlead/internal/cli/doctor"
	"fairlead.dev/fairlead/internal/cli/endpoints"
	"fairlead.dev/fairlead/internal/cli/explain"
	"fairlead.dev/fairlead/internal/cli/importer"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/run"
	"fairlead.dev/fairlead/internal/cli/schema"
	"fairlead.dev/fairlead/internal/cli/status"
	"fairlead.dev/fairlead/internal/cli/suggest"
	"fairlead.dev/fairlead/internal/cli/tap"
	"fairlead.dev/fairlead/internal/cli/top"
	"fairlead.dev/fairlead/internal/cli/trace"
)

// New returns the command line, which reads and writes streams.
func New(streams genericiooptions.IOStreams) *cobra.Command { return root(kube.NewEnv(streams)) }

// plugin is what the program is called by who has it as a plugin of kubectl, and alone what it is called as a program of its own.
const plugin, alone = "kubectl fairlead", "fairlead"

// CallAs has help say how the program was called, given the path of it: fairlead, or as a plugin of kubectl.
func CallAs(cmd *cobra.Command, program string) {
	if strings.TrimSuffix(filepath.Base(program), ".exe") != alone {
		return
	}
	if cmd.Annotations[cobra.CommandDisplayNameAnnotation] == plugin {
		cmd.Annotations[cobra.CommandDisplayNameAnnotation] = alone
	}
	cmd.Long, cmd.Example = strings.ReplaceAll(cmd.Long, plugin, alone), strings.ReplaceAll(cmd.Example, plugin, alone)
	for _, sub := range cmd.Commands() {
		CallAs(sub, program)
	}
}

func root(env *kube.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fairlead",
		Short: "Look at outbound call policies, and at what becomes of calls",
		Long: `kubectl fairlead shows what fairlead does with the outbound calls of pods: which policies are in force, which of them would govern a call, and
what became of calls. It takes all of kubectl's flags, and has no rights but those of who runs it.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: plugin},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          kube.NoArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		PersistentPreRun: func(cmd *cobra.Command, _ []string) { env.Until(cmd.Context()) },
	}
	cmd.SetIn(env.In)
	cmd.SetOut(env.Out)
	cmd.SetErr(env.ErrOut)
	env.AddFlags(cmd.PersistentFlags())
	for _, name := range []string{"namespace", "fairlead-namespace"} {
		_ = cmd.RegisterFlagCompletionFunc(name, env.CompleteNamespaces())
	}
	cmd.AddCommand(commands(env)...)
	return cmd
}

// commands are those of the root, in no order: help sorts them.
func commands(env *kube.Env) []*cobra.Command {
	return []*cobra.Command{
		breakers.New(env),
		dashboard.New(env, kube.Version()),
		bundle.New(env, kube.Version()),
		importer.New(env),
		describe.New(env),
		diff.New(env),
		doctor.New(env),
		endpoints.New(env),
		explain.New(env),
		newVersion(env),
		run.New(schema.New().Document),
		status.New(env),
		suggest.New(env),
		tap.New(env),
		top.New(env),
		trace.New(env),
	}
}
