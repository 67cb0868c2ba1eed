package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
)

// report prints each figure as a JSON line, or all of them as a table at the end.
type report struct {
	json bool
	all  map[row][]float64
	rows []row
}

type row struct{ bench, metric, unit, candidate string }

func newReport(asJSON bool) *report { return &report{json: asJSON, all: map[row][]float64{}} }

func (r *report) add(m measurement) {
	if r.json {
		_ = json.NewEncoder(os.Stdout).Encode(m)
		return
	}
	k := row{m.Bench, m.Metric, m.Unit, m.Candidate}
	if _, ok := r.all[k]; !ok {
		r.rows = append(r.rows, k)
	}
	r.all[k] = append(r.all[k], m.Value)
	fmt.Fprintf(os.Stderr, "round %d  %-20s %-18s %-28s %10.2f %s\n", m.Round, m.Bench, m.Candidate, m.Metric, m.Value, m.Unit)
}

// finish prints the table: the median over the rounds, the spread, and the ratio to haproxy in the same run.
func (r *report) finish() error {
	if r.json {
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "measure\tcandidate\tmedian\tmin\tmax\tunit\t× haproxy")
	groups := map[[2]string]bool{}
	for _, k := range r.rows {
		if g := [2]string{k.bench, k.metric}; !groups[g] {
			groups[g] = true
			r.group(w, g)
		}
	}
	return w.Flush()
}

func (r *report) group(w *tabwriter.Writer, g [2]string) {
	var base float64
	for k := range maps.Keys(r.all) {
		if k.bench == g[0] && k.metric == g[1] && k.candidate == "haproxy" {
			base = median(r.all[k])
		}
	}
	for _, k := range r.rows {
		if k.bench != g[0] || k.metric != g[1] {
			continue
		}
		v := r.all[k]
		ratio := "-"
		if base > 0 {
			ratio = fmt.Sprintf("%.2f", median(v)/base)
		}
		fmt.Fprintf(w, "%s %s\t%s\t%.2f\t%.2f\t%.2f\t%s\t%s\n", k.bench, k.metric, k.candidate, median(v), slices.Min(v), slices.Max(v), k.unit, ratio)
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
