package hack_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tests of each rule into docs/rules.md")

// tracked returns the files git tracks, or would track, that match the patterns.
func tracked(t *testing.T, patterns ...string) []string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"ls-files", "--cached", "--others", "--exclude-standard", "--"}, patterns...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	link       = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	makeTarget = regexp.MustCompile("(?m)(?:^|`)make ((?:-[a-z] )?[a-z][a-z0-9-]+)")
	targetLine = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	ruleTest   = regexp.MustCompile(`(?m)^func (TestRule(\d\d)[A-Za-z0-9_]*)\(`)
	ruleLine   = regexp.MustCompile(`^(\d+)\. `)
)

func TestLinksInTheDocsLeadSomewhere(t *testing.T) {
	for _, page := range tracked(t, "*.md") {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, m[1])
			}
		}
	}
}

func TestMakeTargetsInTheDocsExist(t *testing.T) {
	targets := map[string]bool{}
	for _, f := range tracked(t, "Makefile", "*.mk") {
		for _, m := range targetLine.FindAllStringSubmatch(read(t, f), -1) {
			targets[m[1]] = true
		}
	}
	for _, page := range tracked(t, "*.md") {
		// Only what stands in code is a command.
		for _, m := range makeTarget.FindAllStringSubmatch(read(t, page), -1) {
			if name := m[1][strings.LastIndex(m[1], " ")+1:]; !targets[name] {
				t.Errorf("%s speaks of make %s, which is not a target", page, name)
			}
		}
	}
}

// TestRulesNameTheirTests holds docs/rules.md to the tests there are: each rule lists exactly the tests named after it, and a
// rule without one says that it is not enforced yet.
func TestRulesNameTheirTests(t *testing.T) {
	found := map[int]map[string]bool{}
	for _, f := range tracked(t, "*_test.go") {
		for _, m := range ruleTest.FindAllStringSubmatch(read(t, f), -1) {
			n, _ := strconv.Atoi(m[2])
			if found[n] == nil {
				found[n] = map[string]bool{}
			}
			found[n][fmt.Sprintf("`%s` (%s)", m[1], filepath.Dir(f))] = true
		}
	}
	const page = "docs/rules.md"
	var out []string
	current := 0
	seen := map[int]bool{}
	pending := false
	flush := func() {
		if current == 0 {
			return
		}
		if tests := slices.Sorted(maps.Keys(found[current])); len(tests) > 0 {
			out = append(out, "   - Tests: "+strings.Join(tests, ", "))
		} else if !pending {
			t.Errorf("rule %d has no test; write one, or say \"Not enforced yet\" under it", current)
		}
		current, pending = 0, false
	}
	for _, line := range strings.Split(read(t, page), "\n") {
		if strings.HasPrefix(line, "   - Tests: ") {
			continue
		}
		m := ruleLine.FindStringSubmatch(line)
		if m != nil || strings.HasPrefix(line, "#") || line == "" {
			flush()
		}
		if m != nil {
			current, _ = strconv.Atoi(m[1])
			seen[current] = true
		}
		pending = pending || strings.Contains(line, "Not enforced yet")
		out = append(out, line)
	}
	flush()
	for n := range found {
		if !seen[n] {
			t.Errorf("tests are named after rule %d, which %s does not have", n, page)
		}
	}
	want := strings.Join(out, "\n")
	if want == read(t, page) {
		return
	}
	if !*update {
		t.Fatalf("%s does not list the tests there are: run go test ./hack -run Rules -update", page)
	}
	if err := os.WriteFile(filepath.Join("..", page), []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
