// Package report prints what a benchmark measured, as JSON lines or as a table. It measures nothing itself.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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
	// Disturbed: others used the machine meanwhile. The table counts such figures only where there are no others, and marks them.
	Disturbed bool `json:"disturbed,omitempty"`
}

// Options configure a Report.
type Options struct {
	// JSON prints each figure as a line as soon as it is known, and nothing else.
	JSON bool
	// Baseline is the candidate that the table compares the others with, of the same run; empty for none. Candidates of a variant, such as
	// "name/2", are compared with that variant of the baseline.
	Baseline string
}

// Report prints each figure as a JSON line, or all of them as a table at the end.
type Report struct {
	opts     Options
	out, err io.Writer
	all      map[row]*figures
	rows     []row
}

type row struct{ bench, metric, unit, candidate string }

// figures are a row's values, of quiet rounds and of disturbed ones.
type figures struct{ quiet, disturbed []float64 }

// values are those that count, and the mark of disturbed ones.
func (f *figures) values() ([]float64, string) {
	switch {
	case f == nil:
		return nil, ""
	case len(f.quiet) > 0:
		return f.quiet, ""
	}
	return f.disturbed, " !"
}

// New returns a report on standard output. Progress goes to standard error, unless JSON is asked for.
func New(opts Options) *Report {
	return &Report{opts: opts, out: os.Stdout, err: os.Stderr, all: map[row]*figures{}}
}

// Add reports a figure.
func (r *Report) Add(m Measurement) {
	if r.opts.JSON {
		_ = json.NewEncoder(r.out).Encode(m)
		return
	}
	k := row{m.Bench, m.Metric, m.Unit, m.Candidate}
	f := r.all[k]
	if f == nil {
		f = &figures{}
		r.all[k], r.rows = f, append(r.rows, k)
	}
	mark := ""
	if m.Disturbed {
		mark = " (disturbed)"
		f.disturbed = append(f.disturbed, m.Value)
	} else {
		f.quiet = append(f.quiet, m.Value)
	}
	fmt.Fprintf(r.err, "round %d  %-20s %-18s %-28s %10.2f %s%s\n", m.Round, m.Bench, m.Candidate, m.Metric, m.Value, m.Unit, mark)
}

// Finish prints the table: the median over the quiet rounds, the spread, and the ratio to the baseline. An exclamation mark says that
// there was no quiet round.
func (r *Report) Finish() error {
	if r.opts.JSON {
		return nil
	}
	w := tabwriter.NewWriter(r.out, 2, 0, 2, ' ', 0)
	fmt.Fprint(w, "measure\tcandidate\tmedian\tmin\tmax\tunit")
	if r.opts.Baseline != "" {
		fmt.Fprintf(w, "\t× %s", r.opts.Baseline)
	}
	fmt.Fprintln(w)
	groups := map[[2]string]bool{}
	for _, k := range r.rows {
		if g := [2]string{k.bench, k.metric}; !groups[g] {
			groups[g] = true
			r.group(w, g)
		}
	}
	return w.Flush()
}

func (r *Report) group(w io.Writer, g [2]string) {
	for _, k := range r.rows {
		if k.bench != g[0] || k.metric != g[1] {
			continue
		}
		v, mark := r.all[k].values()
		fmt.Fprintf(w, "%s %s\t%s\t%.2f\t%.2f\t%.2f\t%s%s", k.bench, k.metric, k.candidate, median(v), slices.Min(v), slices.Max(v), k.unit, mark)
		base, _ := r.all[r.baseline(k)].values()
		switch {
		case len(base) > 0 && median(base) > 0:
			fmt.Fprintf(w, "\t%.2f", median(v)/median(base))
		case r.opts.Baseline != "":
			fmt.Fprint(w, "\t-")
		}
		fmt.Fprintln(w)
	}
}

// baseline is the row that another is compared with.
func (r *Report) baseline(k row) row {
	_, variant, found := strings.Cut(k.candidate, "/")
	k.candidate = r.opts.Baseline
	if found {
		k.candidate += "/" + variant
	}
	return k
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}
