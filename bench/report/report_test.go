package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// add adds the figures of two candidates, round by round.
func add(r *Report, a, b []float64, disturbed int) {
	for i := range a {
		for name, v := range map[string]float64{"a": a[i], "b": b[i]} {
			r.Add(Measurement{Bench: "x", Candidate: name, Metric: "cpu", Value: v, Unit: "us", Round: i + 1, Disturbed: i+1 == disturbed})
		}
	}
}

func toB(candidate string) []string {
	if candidate == "a" {
		return []string{"b"}
	}
	return nil
}

// Ratios are of the same round: a machine that slows down from round to round changes none of them.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	r := New(Options{Against: toB})
	r.err = &bytes.Buffer{}
	add(r, []float64{8, 40, 16, 99}, []float64{10, 50, 20, 10}, 4)
	all := r.ratios()
	if len(all) != 1 || all[0].against != "b" || len(all[0].values) != 3 || all[0].mark != "" {
		t.Fatalf("ratios are %+v", all)
	}
	for _, v := range all[0].values {
		if v != 0.8 {
			t.Errorf("a ratio of %v", v)
		}
	}
}

// Where every round was disturbed the ratios are of those, and marked.
func TestDisturbedRatiosAreMarked(t *testing.T) {
	r := New(Options{Against: toB})
	r.err = &bytes.Buffer{}
	add(r, []float64{3}, []float64{2}, 1)
	if all := r.ratios(); len(all) != 1 || all[0].mark == "" || all[0].values[0] != 1.5 {
		t.Errorf("ratios are %+v", all)
	}
}

func TestRatiosAreHeldAgainstGoals(t *testing.T) {
	for name, tc := range map[string]struct {
		goal    Goal
		reached bool
		shows   string
	}{
		"at most, reached":  {Goal{Limit: 0.9}, true, "≤ 0.90, reached"},
		"at most, exactly":  {Goal{Limit: 0.8}, true, "≤ 0.80, reached"},
		"at most, missed":   {Goal{Limit: 0.7}, false, "≤ 0.70, missed"},
		"at least, reached": {Goal{Limit: 0.7, AtLeast: true}, true, "≥ 0.70, reached"},
		"at least, missed":  {Goal{Limit: 0.9, AtLeast: true}, false, "≥ 0.90, missed"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.goal.Bench, tc.goal.Metric, tc.goal.Candidate, tc.goal.Against = "x", "cpu", "a", "b"
			for _, asJSON := range []bool{true, false} {
				var out bytes.Buffer
				r := New(Options{JSON: asJSON, Against: toB, Goals: []Goal{tc.goal}})
				r.out, r.err = &out, &bytes.Buffer{}
				add(r, []float64{8, 16}, []float64{10, 20}, 0)
				if err := r.Finish(); err != nil {
					t.Fatal(err)
				}
				last := out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n")+1:]
				if !asJSON {
					if !strings.Contains(last, tc.shows) {
						t.Errorf("the table ends with %q, want %q", last, tc.shows)
					}
					continue
				}
				var line jsonRatio
				if err := json.Unmarshal([]byte(last), &line); err != nil || line.Median != 0.8 || line.Reached == nil || *line.Reached != tc.reached {
					t.Errorf("the last line is %s, %v", last, err)
				}
			}
		})
	}
}

// A figure may have a goal by itself, such as bytes or allocations, in the table and as a line of JSON.
func TestFiguresAreHeldAgainstGoals(t *testing.T) {
	for name, tc := range map[string]struct {
		limit   float64
		reached bool
		shows   string
	}{
		"reached": {12, true, "≤ 12.00, reached"},
		"missed":  {11, false, "≤ 11.00, missed"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, asJSON := range []bool{true, false} {
				var out bytes.Buffer
				r := New(Options{JSON: asJSON, Goals: []Goal{{Bench: "x", Metric: "cpu", Candidate: "a", Limit: tc.limit}}})
				r.out, r.err = &out, &bytes.Buffer{}
				add(r, []float64{8, 16}, []float64{10, 20}, 0)
				if err := r.Finish(); err != nil {
					t.Fatal(err)
				}
				if !asJSON {
					if strings.Count(out.String(), tc.shows) != 1 {
						t.Errorf("the table is %q, which does not say %q once", out.String(), tc.shows)
					}
					continue
				}
				last := out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n")+1:]
				var line jsonFigure
				if err := json.Unmarshal([]byte(last), &line); err != nil || line.Median != 12 || line.Candidate != "a" || line.Reached != tc.reached || line.Goal == "" {
					t.Errorf("the last line is %s, %v", last, err)
				}
			}
		})
	}
}

func TestQuantiles(t *testing.T) {
	for _, tc := range []struct {
		v       []float64
		q, want float64
	}{
		{[]float64{7}, 0.25, 7}, {[]float64{1, 3}, 0.5, 2}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{1, 2, 3, 4, 5}, 0.25, 2}, {[]float64{5, 1}, 1, 5},
	} {
		if got := quantile(tc.v, tc.q); got != tc.want {
			t.Errorf("quantile %v of %v is %v, want %v", tc.q, tc.v, got, tc.want)
		}
	}
}
