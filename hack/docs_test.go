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

var update = flag.Bool("update", false, "write the tests of each rule into docs/reference/rules.md")

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
	ruleTest   = regexp.MustCompile(`(?m)^((?://.*\n)*)func (TestRule(\d\d)[A-Za-z0-9_]*)\(`)
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

// TestTheLogHasWhatTheDocsLookFor: messages that commands of the docs look for in logs are among those that programs log.
func TestTheLogHasWhatTheDocsLookFor(t *testing.T) {
	wanted := regexp.MustCompile(`grep (?:-\w+ )*'([a-z][a-z ]+)'`)
	var programs strings.Builder
	for _, f := range tracked(t, "cmd/*.go", "internal/*.go") {
		if !strings.HasSuffix(f, "_test.go") {
			programs.WriteString(read(t, f))
		}
	}
	found := 0
	for _, page := range tracked(t, "docs/*.md") {
		for _, m := range wanted.FindAllStringSubmatch(read(t, page), -1) {
			if found++; !regexp.MustCompile(`(?i)"[^"\n]*` + m[1] + `[^"\n]*"`).MatchString(programs.String()) {
				t.Errorf("%s looks for %q in a log, which nothing logs", page, m[1])
			}
		}
	}
	if found < 3 {
		t.Fatalf("only %d commands were found", found)
	}
}

// pageNamed is the path of a page as comments and manifests name it.
var pageNamed = regexp.MustCompile(`\bdocs/[a-z0-9/-]+\.md\b`)

// TestPagesThatFilesNameExist: not only links lead to pages; comments, messages and manifests name them too.
func TestPagesThatFilesNameExist(t *testing.T) {
	for _, file := range tracked(t, "*.go", "*.yaml", "*.mk", "*.sh", "*.ts", "*.tsx", "*.tpl", "Dockerfile", "Makefile") {
		for _, page := range pageNamed.FindAllString(read(t, file), -1) {
			if _, err := os.Stat(filepath.Join("..", page)); err != nil {
				t.Errorf("%s names %s, which does not exist", file, page)
			}
		}
	}
}

// TestEveryPageIsReached: whoever begins at the front page comes to each page by links.
func TestEveryPageIsReached(t *testing.T) {
	reached, next := map[string]bool{}, []string{"README.md"}
	for len(next) > 0 {
		page := next[0]
		if next = next[1:]; reached[page] || filepath.Ext(page) != ".md" {
			continue
		}
		reached[page] = true
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if !strings.Contains(m[1], "://") {
				next = append(next, filepath.Join(filepath.Dir(page), m[1]))
			}
		}
	}
	for _, page := range tracked(t, "docs/*.md") {
		if !reached[page] {
			t.Errorf("no link leads to %s", page)
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

// TestReadmeShowsTheDemosPolicy: what the front page prints is what the demonstration made of this very policy.
func TestReadmeShowsTheDemosPolicy(t *testing.T) {
	_, block, _ := strings.Cut(read(t, "README.md"), "```yaml\n")
	block, _, found := strings.Cut(block, "```\n")
	if want := read(t, "config/demo/policy.yaml"); !found || block != want {
		t.Errorf("README.md shows\n%s\nand config/demo/policy.yaml is\n%s", block, want)
	}
}

// TestTheDocsShowTheTrustingPod: what docs/guides/tls.md shows of a pod that trusts the egress CA is a part of the sample that test/e2e runs.
func TestTheDocsShowTheTrustingPod(t *testing.T) {
	const sample = "config/samples/pods/trusting-the-egress-ca.yaml"
	want := read(t, sample)
	_, section, _ := strings.Cut(read(t, "docs/guides/tls.md"), "\n### Trust in pods\n")
	section, _, _ = strings.Cut(section, "\n### ")
	shown := 0
	for i, block := range strings.Split(section, "\n```") {
		_, block, _ = strings.Cut(block, "\n")
		if i%2 == 0 || strings.HasPrefix(block, "kubectl ") { // text, or a command
			continue
		}
		if shown++; !strings.Contains(want, block+"\n") {
			t.Errorf("docs/guides/tls.md shows\n%s\nwhich %s does not hold", block, sample)
		}
	}
	if shown < 4 {
		t.Errorf("docs/guides/tls.md shows %d parts of %s", shown, sample)
	}
}

const (
	rulesPage = "docs/reference/rules.md"
	// testsHeading begins the generated end of the page.
	testsHeading = "## Tests\n"
)

// TestRulesNameTheirTests holds docs/reference/rules.md to the tests there are: its end lists, rule by rule, exactly the tests named after
// it, and a rule without one says that it is not enforced yet.
func TestRulesNameTheirTests(t *testing.T) {
	page := read(t, rulesPage)
	rules, _, found := strings.Cut(page, testsHeading)
	if !found {
		t.Fatalf("%s has no heading %q", rulesPage, testsHeading)
	}
	enforced := enforcedRules(rules)
	tests := ruleTests(t)
	list := &strings.Builder{}
	for _, n := range slices.Sorted(maps.Keys(enforced)) {
		if len(tests[n]) == 0 && enforced[n] {
			t.Errorf("rule %d has no test; write one, or say \"Not enforced yet\" under it", n)
		}
		if len(tests[n]) > 0 {
			writeTests(list, n, tests[n])
		}
	}
	for n := range tests {
		if _, ok := enforced[n]; !ok {
			t.Errorf("tests are named after rule %d, which %s does not have", n, rulesPage)
		}
	}
	want := rules + testsHeading + testsIntroduction + list.String()
	if want == page {
		return
	}
	if !*update {
		t.Fatalf("%s does not list the tests there are: run go test ./hack -run Rules -update", rulesPage)
	}
	if err := os.WriteFile(filepath.Join("..", rulesPage), []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

const testsIntroduction = "\nGenerated: the tests named after each rule, by the folder they are in.\n"

// enforcedRules returns the numbers of the rules on the page, and whether they are enforced.
func enforcedRules(page string) map[int]bool {
	rules := map[int]bool{}
	current := 0
	for line := range strings.Lines(page) {
		if m := ruleLine.FindStringSubmatch(line); m != nil {
			current, _ = strconv.Atoi(m[1])
			rules[current] = true
		}
		if strings.Contains(line, "Not enforced yet") && current != 0 {
			rules[current] = false
		}
	}
	return rules
}

// ruleTests returns the tests named after each rule, by folder.
func ruleTests(t *testing.T) map[int]map[string][]string {
	t.Helper()
	tests := map[int]map[string][]string{}
	for _, f := range tracked(t, "*_test.go") {
		for _, m := range ruleTest.FindAllStringSubmatch(read(t, f), -1) {
			n, _ := strconv.Atoi(m[3])
			if tests[n] == nil {
				tests[n] = map[string][]string{}
			}
			tests[n][filepath.Dir(f)] = append(tests[n][filepath.Dir(f)], m[2]+againOver(m[1]))
		}
	}
	return tests
}

// againOver is what marks a test that hack/enforcement runs again over TLS, given what stands above it.
func againOver(comment string) string {
	over := ""
	for _, mode := range []string{"originate", "intercept"} {
		declared := carried.MatchString(comment) && !named("notover", mode).MatchString(comment)
		if declared || named("overtls", mode).MatchString(comment) {
			over += " " + mode
		}
	}
	return over
}

// carried matches a declaration of a test whose calls are carried over TLS too.
var carried = regexp.MustCompile(`(?m)^//enforces:(http1|http2|grpc) `)

// named matches a declaration that names a mode of TLS.
func named(declaration, mode string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^//` + declaration + `:([a-z]+,)*` + mode + `\b`)
}

// writeTests writes one line per test, folded away until somebody asks for the rule's.
func writeTests(w *strings.Builder, rule int, byFolder map[string][]string) {
	count := 0
	for _, names := range byFolder {
		count += len(names)
	}
	fmt.Fprintf(w, "\n<details><summary>Rule %d: %d</summary>\n\n", rule, count)
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		for _, test := range slices.Sorted(slices.Values(byFolder[folder])) {
			name, over, again := strings.Cut(test, " ")
			if again {
				over = "; again over TLS: " + strings.ReplaceAll(over, " ", ", ")
			}
			fmt.Fprintf(w, "- `%s` (%s%s)\n", name, folder, over)
		}
	}
	fmt.Fprint(w, "\n</details>\n")
}
