package monitoring

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

var metricRow = regexp.MustCompile("(?m)^\\| `(fairlead_[a-z_]+)` \\| (\\w+) \\|")

// documented are the metrics that docs/reference/metrics.md lists, which tests of agent and manager hold to what these serve, by the names that their series have.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	check(t, err)
	out := map[string]bool{}
	for _, row := range metricRow.FindAllStringSubmatch(string(page), -1) {
		if row[2] != "histogram" {
			out[row[1]] = true
			continue
		}
		for _, end := range []string{"_bucket", "_count", "_sum"} {
			out[row[1]+end] = true
		}
	}
	if len(out) < 50 {
		t.Fatalf("docs/reference/metrics.md lists %d series", len(out))
	}
	return out
}

// promtool runs Prometheus' tool in a folder and returns what it prints.
func promtool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	program := Need(t, "promtool")
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
	return string(out)
}
