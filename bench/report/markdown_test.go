package report

import (
	"bytes"
	"testing"
)

// Differences and ratios are of the same round, so that a machine that becomes slower changes neither; disturbed rounds do not count where there are others.
func TestTheTableComparesWithinRounds(t *testing.T) {
	r := New(Options{})
	r.err = &bytes.Buffer{}
	for round, machine := range []float64{1, 2, 3, 50} {
		for name, value := range map[string]float64{"proxy": 20, "x + nothing": 10, "x + retry": 11, "x + every block": 15} {
			r.Add(Measurement{Bench: "b", Candidate: name, Metric: "cpu", Value: value * machine, Unit: "us", Round: round, Disturbed: machine == 50})
		}
		r.Add(Measurement{Bench: "b", Candidate: "x + retry", Metric: "allocs", Value: 0.01, Unit: "1", Round: round})
	}
	r.rows = []row{{"b", "cpu", "us", "x + nothing"}, {"b", "cpu", "us", "x + retry"}, {"b", "cpu", "us", "x + every block"}, {"b", "cpu", "us", "proxy"}}
	var out bytes.Buffer
	if err := r.Markdown(&out, Table{
		Bench: "b", Prefix: "x + ", Baseline: "nothing", Against: "proxy", Metric: "cpu", Unit: "µs", Beside: "allocs",
	}); err != nil {
		t.Fatal(err)
	}
	const want = `| with | µs | more than with nothing, µs | × proxy | allocations |
|---|---|---|---|---|
| nothing | 20.0 | – | 0.50 (0.50 to 0.50) | – |
| ` + "`retry`" + ` | 22.0 | 2.00 (1.50 to 2.50) | 0.55 (0.55 to 0.55) | 0.01 |
| every block | 30.0 | 10.00 (7.50 to 12.50) | 0.75 (0.75 to 0.75) | – |
`
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", out.String(), want)
	}
}
