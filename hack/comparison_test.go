package hack_test

import (
	"regexp"
	"strings"
	"testing"
)

var (
	cited  = regexp.MustCompile(`\[([a-z]\d)\](?:[^(]|$)`)
	source = regexp.MustCompile(`(?m)^\| ([a-z]\d) \| \S`)
)

// TestTheComparisonHasItsSources: what docs/comparison.md says of other systems names sources that it lists, it lists none that nothing names, and
// each row says where fairlead's own documentation has what it claims.
func TestTheComparisonHasItsSources(t *testing.T) {
	page := read(t, "docs/comparison.md")
	text, list, found := strings.Cut(page, "\n## Sources\n")
	if !found {
		t.Fatal("docs/comparison.md has no list of sources")
	}
	listed, named := map[string]bool{}, map[string]bool{}
	for _, m := range source.FindAllStringSubmatch(list, -1) {
		listed[m[1]] = true
	}
	for _, m := range cited.FindAllStringSubmatch(text, -1) {
		if named[m[1]] = true; !listed[m[1]] {
			t.Errorf("docs/comparison.md names the source %s, which it does not list", m[1])
		}
	}
	for id := range listed {
		if !named[id] {
			t.Errorf("docs/comparison.md lists the source %s, which nothing names", id)
		}
	}
	_, table, _ := strings.Cut(text, "\n## Outbound calls\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 7 || strings.HasPrefix(line, "| |") || strings.HasPrefix(line, "|---") {
			continue
		}
		if ours := cells[2]; !strings.Contains(ours, "](") && strings.TrimSpace(ours) != "none" {
			t.Errorf("docs/comparison.md: the row %q claims %q without a link", strings.TrimSpace(cells[1]), strings.TrimSpace(ours))
		}
	}
}
