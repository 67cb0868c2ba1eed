package cli

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// versions is what version prints.
type versions struct {
	Client clientVersion    `json:"client"`
	Server *kube.Components `json:"server,omitempty"`
}

type clientVersion struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func newVersion(env *kube.Env) *cobra.Command {
	var format string
	var clientOnly bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of the plugin, the manager and the agents",
		Example: "  kubectl fairlead version\n  kubectl fairlead version --client -o json",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := output.Format(format)
			if err := f.Check(output.JSON, output.YAML); err != nil {
				return err
			}
			return printVersions(cmd.Context(), env, f, clientOnly)
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Print the version of the plugin alone, without asking the cluster")
	cmd.Flags().StringVarP(&format, "output", "o", "", "Output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func printVersions(ctx context.Context, env *kube.Env, format output.Format, clientOnly bool) error {
	v := versions{Client: clientVersion{kube.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}}
	var unknown error
	if !clientOnly {
		v.Server, unknown = components(ctx, env)
	}
	if format != output.None {
		if err := output.Value(env.Out, format, v); err != nil {
			return err
		}
		return unknown
	}
	fmt.Fprintf(env.Out, "Client:  %s (%s, %s)\n", v.Client.Version, v.Client.GoVersion, v.Client.Platform)
	if v.Server != nil {
		fmt.Fprintf(env.Out, "Manager: %s\nAgents:  %s\n", v.Server.Manager.Image, v.Server.Agents.Image)
	}
	return unknown
}

func components(ctx context.Context, env *kube.Env) (*kube.Components, error) {
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	return env.Components(ctx, c)
}
