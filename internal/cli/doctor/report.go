package doctor

import (
	"fmt"
	"io"

	"fairlead.dev/fairlead/internal/cli/output"
)

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
	// Fix says what to do, Docs is the address of the page that explains it.
	Fix  string `json:"fix,omitempty"`
	Docs string `json:"docs,omitempty"`
}

// Report is what doctor prints.
type Report struct {
	Findings []Finding `json:"findings"`
	Problems int       `json:"problems"`
	Warnings int       `json:"warnings"`

	group string
	docs  string // the address that pages are below; empty: defaultDocs
}

// remedy is what to do about a finding, and the page that explains it.
type remedy struct {
	do  string
	see page
}

func (r *Report) add(result Result, remedy remedy, format string, args ...any) {
	switch result {
	case Problem:
		r.Problems++
	case Warning:
		r.Warnings++
	case OK, Unknown:
	}
	r.Findings = append(r.Findings, Finding{Group: r.group, Result: result, What: fmt.Sprintf(format, args...), Fix: remedy.do, Docs: remedy.see.address(r.docs)})
}

func (r *Report) ok(format string, args ...any) { r.add(OK, remedy{}, format, args...) }

// unknown says that a check could not be made.
func (r *Report) unknown(err error) { r.add(Unknown, remedy{}, "%v", err) }

// clean reports whether nothing was found since there were before findings.
func (r *Report) clean(before int) bool { return len(r.Findings) == before }

// The table is never written to.
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
		if f.Docs != "" {
			fmt.Fprintf(w, "           see: %s\n", f.Docs)
		}
	}
	fmt.Fprintf(w, "\n%s, %s.\n", output.Count(r.Problems, "problem", "problems"), output.Count(r.Warnings, "warning", "warnings"))
}
