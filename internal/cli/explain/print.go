package explain

import (
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/output"
)

func isForbidden(err error) bool { return apierrors.IsForbidden(err) }

// print prints the explanation, step by step.
func (e *Explanation) print(w io.Writer, all bool) {
	fmt.Fprintf(w, "Call:  %s\n", output.Text(e.Call.Line()))
	fmt.Fprintf(w, "From:  pod %s\n", output.Text(e.Pod))
	if e.Call.Service != "" {
		fmt.Fprintf(w, "To:    Service %s\n", output.Text(e.Call.Service))
	}
	fmt.Fprintf(w, "\n1. Policies that select the pod\n")
	bullets(w, e.Selected, "none")
	for _, d := range e.Disabled {
		fmt.Fprintf(w, "   - %s (mode Disabled: without effect)\n", output.Text(d))
	}
	for _, r := range e.Refused {
		fmt.Fprintf(w, "   ! not in force as written: %s\n", output.Text(r))
	}
	if len(e.Considered) > 0 {
		e.printDestinations(w)
	}
	if !e.Governed {
		fmt.Fprintf(w, "\nThe call is not governed: %s. It goes as it would without fairlead.\n", output.Text(e.Why))
		e.printNotes(w)
		return
	}
	e.printRules(w)
	fmt.Fprintf(w, "\n4. Settings in force\n")
	effective.Print(w, "   ", e.Fields, all)
	e.printNotes(w)
}

func bullets(w io.Writer, list []string, none string) {
	for _, s := range list {
		fmt.Fprintf(w, "   - %s\n", output.Text(s))
	}
	if len(list) == 0 {
		fmt.Fprintf(w, "   %s\n", none)
	}
}

func (e *Explanation) printDestinations(w io.Writer) {
	fmt.Fprintf(w, "\n2. Destinations, the most specific first\n")
	governs := false
	for i := range e.Considered {
		c := &e.Considered[i]
		verdict := "does not fit: " + c.Why
		switch {
		case c.Fits && c.DryRun:
			verdict = "fits, in a dry run"
		case c.Fits && governs:
			verdict = "fits, but one before governs the call"
		case c.Fits:
			governs = true
			if verdict = "fits, and governs the call"; c.Why != "" {
				verdict += ": " + c.Why
			}
		case strings.HasPrefix(c.Why, "it depends"):
			verdict = c.Why
		}
		fmt.Fprintf(w, "   - %s: %s\n", output.Text(c.Destination), output.Text(verdict))
		if c.Fits {
			fmt.Fprintf(w, "     merged of %s\n", output.Text(strings.Join(c.Policies, ", then ")))
		}
	}
}

func (e *Explanation) printRules(w io.Writer) {
	fmt.Fprintf(w, "\n3. Rules\n")
	switch {
	case e.Connection:
		fmt.Fprintln(w, "   none apply: the call is governed as a connection")
	case len(e.Rules) == 0:
		fmt.Fprintln(w, "   none: the policies' own settings hold")
	}
	for _, r := range e.Rules {
		if r.Fits {
			fmt.Fprintf(w, "   - %s: fits\n", output.Text(r.Name))
		} else {
			fmt.Fprintf(w, "   - %s: does not fit: %s\n", output.Text(r.Name), output.Text(r.Why))
		}
	}
	if len(e.Rules) > 0 && e.Rule == "" {
		fmt.Fprintln(w, "   no rule fits: the policies' own settings hold")
	}
}

func (e *Explanation) printNotes(w io.Writer) {
	if e.DryRun != "" {
		fmt.Fprintf(w, "\nIf dry runs acted, this would govern the call: %s.\n", output.Text(e.DryRun))
	}
	if len(e.Notes) == 0 {
		return
	}
	fmt.Fprintf(w, "\nWhat that means\n")
	bullets(w, e.Notes, "")
}
