// Package report prints what a benchmark measured, as JSON lines or as a table. It measures nothing itself.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// Measurement is one figure of one candidate in one round.
type Measurement struct {
	Bench     string  `json:"bench"`
	Candidate string  `json:"candidate"`
	Metric    string  `json:"metric"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Round     int     `json:"round"`
	// Disturbed: others used the machine meanwhile. Such figures count only where there are no others, and are marked.
	Disturbed bool `json:"disturbed,omitempty"`
}

// Options configure a Report.
type Options struct {
	// JSON prints each figure as a line as soon as it is known, ratios in the end, and nothing else.
	JSON bool
	// Against names the candidates of the same run that another is compared with; nil: none.
	Against func(candidate string) []string
	Goals   []Goal
}

// Report prints each figure as a JSON line, or all of them as a table at the end.
type Report struct {
	opts     Options
	out, err io.Writer
	all      map[row]*figures
	rows     []row
}

type row struct{ bench, metric, unit, candidate string }

// figures are a row's values.
type figures struct{ values []value }

type value struct {
	value     float64
	round     int
	disturbed bool
}

const disturbedMark = " !"

// counting are the values of quiet rounds or, where there are none, those of disturbed ones with their mark.
func (f *figures) counting() (quiet []float64, mark string) {
	var all []float64
	for _, v := range f.values {
		all = append(all, v.value)
		if !v.disturbed {
			quiet = append(quiet, v.value)
		}
	}
	if len(quiet) > 0 {
		return quiet, ""
	}
	return all, disturbedMark
}

// New returns a report on standard output. Progress goes to standard error, unless JSON is asked for.
func New(opts Options) *Report {
	return &Report{opts: opts, out: os.Stdout, err: os.Stderr, all: map[row]*figures{}}
}

// Add reports a figure.
func (r *Report) Add(m Measurement) {
	k := row{m.Bench, m.Metric, m.Unit, m.Candidate}
	f := r.all[k]
	if f == nil {
		f = &figures{}
		r.all[k], r.rows = f, append(r.rows, k)
	}
	f.values = append(f.values, value{m.Value, m.Round, m.Disturbed})
	if r.opts.JSON {
		_ = json.NewEncoder(r.out).Encode(m)
		return
	}
	mark := ""
	if m.Disturbed {
		mark = " (disturbed)"
	}
	fmt.Fprintf(r.err, "round %d  %-20s %-18s %-28s %10.2f %s%s\n", m.Round, m.Bench, m.Candidate, m.Metric, m.Value, m.Unit, mark)
}

// Finish prints the figures, with the median over the quiet rounds and the spread, and the ratios, with their quartiles, and what became of the
// goals. An exclamation mark says that there was no quiet round.
func (r *Report) Finish() error {
	ratios := r.ratios()
	if r.opts.JSON {
		for i := range ratios {
			if err := ratios[i].writeJSON(r.out); err != nil {
				return err
			}
		}
		return r.writeFigureGoals()
	}
	w := tabwriter.NewWriter(r.out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measure\tcandidate\tmedian\tmin\tmax\tunit\tgoal")
	groups := map[[2]string]bool{}
	for _, k := range r.rows {
		if g := [2]string{k.bench, k.metric}; !groups[g] {
			groups[g] = true
			r.group(w, g)
		}
	}
	if len(ratios) > 0 {
		fmt.Fprintln(w, "\nratio\tcandidate\tby\tmedian\tlower quartile\tupper quartile\trounds\tgoal")
		for i := range ratios {
			ratios[i].write(w)
		}
	}
	return w.Flush()
}

func (r *Report) group(w io.Writer, g [2]string) {
	for _, k := range r.rows {
		if k.bench == g[0] && k.metric == g[1] {
			v, mark := r.all[k].counting()
			m := quantile(v, 0.5)
			fmt.Fprintf(w, "%s %s\t%s\t%.2f\t%.2f\t%.2f\t%s%s\t%s\n", k.bench, k.metric, k.candidate, m, slices.Min(v), slices.Max(v), k.unit, mark,
				r.goal(k, "").judge(m))
		}
	}
}
