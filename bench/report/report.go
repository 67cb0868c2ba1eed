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
}

// Options configure a Report.
type Options struct {
	// JSON prints each figure as a line as soon as it is known, and nothing else.
	JSON bool
	// Baseline is the candidate that the table compares the others with, of the same run; empty for none.
	Baseline string
}

// Report prints each figure as a JSON line, or all of them as a table at the end.
type Report struct {
	opts     Options
	out, err io.Writer
	all      map[row][]float64
	rows     []row
}

type row struct{ bench, metric, unit, candidate string }

// New returns a report on standard output. Progress goes to standard error, unless JSON is asked for.
func New(opts Options) *Report {
	return &Report{opts: opts, out: os.Stdout, err: os.Stderr, all: map[row][]float64{}}
}

// Add reports a figure.
func (r *Report) Add(m Measurement) {
	if r.opts.JSON {
		_ = json.NewEncoder(r.out).Encode(m)
		return
	}
	k := row{m.Bench, m.Metric, m.Unit, m.Candidate}
	if _, ok := r.all[k]; !ok {
		r.rows = append(r.rows, k)
	}
	r.all[k] = append(r.all[k], m.Value)
	fmt.Fprintf(r.err, "round %d  %-20s %-18s %-28s %10.2f %s\n", m.Round, m.Bench, m.Candidate, m.Metric, m.Value, m.Unit)
}

// Finish prints the table: the median over the rounds, the spread, and the ratio to the baseline.
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
	var base float64
	for k, v := range r.all {
		if k.bench == g[0] && k.metric == g[1] && k.candidate == r.opts.Baseline {
			base = median(v)
		}
	}
	for _, k := range r.rows {
		if k.bench != g[0] || k.metric != g[1] {
			continue
		}
		v := r.all[k]
		fmt.Fprintf(w, "%s %s\t%s\t%.2f\t%.2f\t%.2f\t%s", k.bench, k.metric, k.candidate, median(v), slices.Min(v), slices.Max(v), k.unit)
		switch {
		case base > 0:
			fmt.Fprintf(w, "\t%.2f", median(v)/base)
		case r.opts.Baseline != "":
			fmt.Fprint(w, "\t-")
		}
		fmt.Fprintln(w)
	}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}
