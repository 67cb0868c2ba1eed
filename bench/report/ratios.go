package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Goal is what a ratio is to reach, or where it is against nobody, a figure by itself.
type Goal struct {
	Bench, Metric, Candidate, Against string
	// Limit is the ratio or the figure at most or, if AtLeast is set, at least.
	Limit   float64
	AtLeast bool
}

func (g *Goal) String() string {
	if g.AtLeast {
		return fmt.Sprintf("≥ %.2f", g.Limit)
	}
	return fmt.Sprintf("≤ %.2f", g.Limit)
}

func (g *Goal) reached(median float64) bool {
	return median == g.Limit || median > g.Limit == g.AtLeast
}

// judge says what became of a goal; nil: there was none.
func (g *Goal) judge(median float64) string {
	switch {
	case g == nil:
		return "-"
	case g.reached(median):
		return g.String() + ", reached"
	}
	return g.String() + ", missed"
}

// ratios are a row's figures by another candidate's, of the rounds in which both were measured. What is measured within seconds of each
// other is compared: what the machine is able to do changes from minute to minute.
type ratios struct {
	row
	against string
	goal    *Goal
	values  []float64
	mark    string
}

// ratios are those that are asked for. Rounds in which one of the two was disturbed count only where there are no others.
func (r *Report) ratios() (all []ratios) {
	if r.opts.Against == nil {
		return nil
	}
	for _, k := range r.rows {
		for _, against := range r.opts.Against(k.candidate) {
			base := r.all[row{k.bench, k.metric, k.unit, against}]
			if v, mark := r.all[k].by(base); len(v) > 0 {
				all = append(all, ratios{k, against, r.goal(k, against), v, mark})
			}
		}
	}
	return all
}

func (r *Report) goal(k row, against string) *Goal {
	for i := range r.opts.Goals {
		if g := &r.opts.Goals[i]; g.Bench == k.bench && g.Metric == k.metric && g.Candidate == k.candidate && g.Against == against {
			return g
		}
	}
	return nil
}

// by returns the ratios to other figures, round by round, and the mark of disturbed ones.
func (f *figures) by(base *figures) (quiet []float64, mark string) {
	return f.compared(base, func(a, b float64) float64 { return a / b })
}

// compared compares figures with others, round by round. Rounds in which one of the two was disturbed count only where there are no others, and are marked.
func (f *figures) compared(base *figures, compare func(a, b float64) float64) (quiet []float64, mark string) {
	if base == nil {
		return nil, ""
	}
	var all []float64
	for _, v := range f.values {
		i := slices.IndexFunc(base.values, func(b value) bool { return b.round == v.round })
		if i < 0 || base.values[i].value == 0 {
			continue
		}
		c := compare(v.value, base.values[i].value)
		all = append(all, c)
		if !v.disturbed && !base.values[i].disturbed {
			quiet = append(quiet, c)
		}
	}
	if len(quiet) > 0 {
		return quiet, ""
	}
	return all, disturbedMark
}

// jsonRatio is the line of a ratio.
type jsonRatio struct {
	Bench     string  `json:"bench"`
	Candidate string  `json:"candidate"`
	Metric    string  `json:"metric"`
	Against   string  `json:"against"`
	Median    float64 `json:"ratio_median"`
	Lower     float64 `json:"ratio_lower_quartile"`
	Upper     float64 `json:"ratio_upper_quartile"`
	Rounds    int     `json:"rounds"`
	Goal      string  `json:"goal,omitempty"`
	Reached   *bool   `json:"reached,omitempty"`
	Disturbed bool    `json:"disturbed,omitempty"`
}

func (q *ratios) writeJSON(w io.Writer) error {
	line := jsonRatio{
		Bench: q.bench, Candidate: q.candidate, Metric: q.metric, Against: q.against, Rounds: len(q.values), Disturbed: q.mark != "",
		Median: quantile(q.values, 0.5), Lower: quantile(q.values, 0.25), Upper: quantile(q.values, 0.75),
	}
	if q.goal != nil {
		reached := q.goal.reached(line.Median)
		line.Goal, line.Reached = q.goal.String(), &reached
	}
	return json.NewEncoder(w).Encode(line)
}

// jsonFigure is the line of a figure that has a goal of its own.
type jsonFigure struct {
	Bench     string  `json:"bench"`
	Candidate string  `json:"candidate"`
	Metric    string  `json:"metric"`
	Median    float64 `json:"median"`
	Unit      string  `json:"unit"`
	Rounds    int     `json:"rounds"`
	Goal      string  `json:"goal"`
	Reached   bool    `json:"reached"`
	Disturbed bool    `json:"disturbed,omitempty"`
}

func (r *Report) writeFigureGoals() error {
	for _, k := range r.rows {
		g := r.goal(k, "")
		if g == nil {
			continue
		}
		v, mark := r.all[k].counting()
		m := quantile(v, 0.5)
		line := jsonFigure{
			Bench: k.bench, Candidate: k.candidate, Metric: k.metric, Median: m, Unit: k.unit, Rounds: len(v),
			Goal: g.String(), Reached: g.reached(m), Disturbed: mark != "",
		}
		if err := json.NewEncoder(r.out).Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func (q *ratios) write(w io.Writer) {
	m := quantile(q.values, 0.5)
	fmt.Fprintf(w, "%s %s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%d%s\t%s\n", q.bench, q.metric, q.candidate, q.against,
		m, quantile(q.values, 0.25), quantile(q.values, 0.75), len(q.values), q.mark, q.goal.judge(m))
}

// quantile interpolates between the two values next to it.
func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 == len(s) {
		return s[i]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}
