// Package doctor is kubectl fairlead doctor: what is wrong with fairlead and its policies in a cluster, as far as the API server shows, with a fix for each.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// ErrProblems is returned when something is wrong: the exit status is 1 then.
var ErrProblems = errors.New("something is wrong: see above")

// New returns the command.
func New(env *kube.Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check fairlead and its policies, with a fix for what is wrong",
		Long: `Checks, as far as the API server shows it, whether fairlead is installed and runs everywhere, whether its certificates and the nodes' clocks are in
order, and whether policies have an effect; with a fix for what is wrong. The exit status is 1 if anything is.`,
		Example: "  kubectl fairlead doctor\n  kubectl fairlead doctor -o json",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := output.Format(format)
			if err := f.Check(output.JSON, output.YAML); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			r := Check(cmd.Context(), env, c)
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
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// Result is how a check ended.
type Result string

// The results. Unknown is a check that could not be made, for lack of rights for instance.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Problem Result = "problem"
	Unknown Result = "unknown"
)

// Finding is the result of a check.
type Finding struct {
	Group  string `json:"group"`
	Result Result `json:"result"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"`
}

// Report is what doctor prints.
type Report struct {
	Findings []Finding `json:"findings"`
	Problems int       `json:"problems"`
	Warnings int       `json:"warnings"`

	group string
}

func (r *Report) add(result Result, fix, format string, args ...any) {
	switch result {
	case Problem:
		r.Problems++
	case Warning:
		r.Warnings++
	case OK, Unknown:
	}
	r.Findings = append(r.Findings, Finding{r.group, result, fmt.Sprintf(format, args...), fix})
}

// unknown says that a check could not be made.
func (r *Report) unknown(err error) { r.add(Unknown, "", "%v", err) }

// Check makes all checks. Those that the API server refuses end as Unknown: the others still say something.
func Check(ctx context.Context, env *kube.Env, c client.Reader) *Report {
	r := &Report{Findings: []Finding{}}
	k := checker{r, env, c}
	for _, g := range []struct {
		name  string
		check func(context.Context)
	}{{"installation", k.installation}, {"nodes", k.nodes}, {"certificates", k.certificates}, {"policies", k.policies}} {
		r.group = g.name
		g.check(ctx)
	}
	return r
}

type checker struct {
	*Report
	env *kube.Env
	c   client.Reader
}

var marks = map[Result]string{OK: "ok     ", Warning: "warning", Problem: "PROBLEM", Unknown: "unknown"}

func (r *Report) print(w io.Writer) {
	group := ""
	for _, f := range r.Findings {
		if f.Group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = f.Group
			fmt.Fprintln(w, group)
		}
		fmt.Fprintf(w, "  %s  %s\n", marks[f.Result], output.Text(f.What))
		if f.Fix != "" {
			fmt.Fprintf(w, "           fix: %s\n", output.Text(f.Fix))
		}
	}
	fmt.Fprintf(w, "\n%s, %s.\n", output.Count(r.Problems, "problem", "problems"), output.Count(r.Warnings, "warning", "warnings"))
}
