package report

import (
	"fmt"
	"io"
	"strings"
)

// Table says what a table of Markdown compares: the candidates whose names begin with Prefix, by one metric.
type Table struct {
	Bench, Prefix string
	// Baseline, behind Prefix, is the candidate from which the others differ; Against is the one by which ratios are.
	Baseline, Against string
	// Metric is what is compared, in Unit, and Beside another one that is shown.
	Metric, Unit, Beside string
}

// Markdown prints medians, with the lower and upper quartiles of differences and of ratios, each of two figures of the same round. What was disturbed in every
// round is marked.
func (r *Report) Markdown(w io.Writer, t Table) error {
	if _, err := fmt.Fprintf(w, "| with | %s | more than with %s, %s | × %s | allocations |\n|---|---|---|---|---|\n", t.Unit, t.Baseline, t.Unit, t.Against); err != nil {
		return err
	}
	for _, k := range r.rows {
		name, ours := strings.CutPrefix(k.candidate, t.Prefix)
		if !ours || k.bench != t.Bench || k.metric != t.Metric {
			continue
		}
		values, mark := r.all[k].counting()
		if _, err := fmt.Fprintf(w, "| %s | %.1f%s | %s | %s | %s |\n", named(name, t.Baseline), quantile(values, 0.5), mark,
			r.differences(k, t.Prefix+t.Baseline), r.ratio(k, t.Against), r.beside(k, t.Beside)); err != nil {
			return err
		}
	}
	return nil
}

// named shows fields of the API as such.
func named(name, baseline string) string {
	if name == baseline || strings.HasPrefix(name, "every ") {
		return name
	}
	return "`" + name + "`"
}

// spread shows a median with its quartiles.
func spread(values []float64, mark string) string {
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)%s", quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75), mark)
}

// differences shows a row's figures less another candidate's, and ratio what they are of them.
func (r *Report) differences(k row, from string) string {
	if k.candidate == from {
		return "–"
	}
	return spread(r.all[k].compared(r.all[row{k.bench, k.metric, k.unit, from}], func(a, b float64) float64 { return a - b }))
}

func (r *Report) ratio(k row, by string) string {
	return spread(r.all[k].by(r.all[row{k.bench, k.metric, k.unit, by}]))
}

// beside shows the median of another metric of the row's candidate.
func (r *Report) beside(k row, metric string) string {
	for other, f := range r.all {
		if other.bench == k.bench && other.candidate == k.candidate && other.metric == metric {
			values, mark := f.counting()
			return fmt.Sprintf("%.2f%s", quantile(values, 0.5), mark)
		}
	}
	return "–"
}
