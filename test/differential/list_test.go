package differential

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
)

const listPage = "../../docs/concepts/differences.md"

// row matches a row of the list and captures its id.
var row = regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+)` \\|")

// TestEveryDifferenceIsListed holds docs/concepts/differences.md to the scenarios, both ways. That a difference shows where it is said to is what
// TestRule00_NoHarm checks.
func TestEveryDifferenceIsListed(t *testing.T) {
	page, err := os.ReadFile(listPage)
	check(t, err)
	listed := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		listed[m[1]] = true
	}
	shown := map[string][]string{}
	for _, th := range themes() {
		for _, sc := range th.scenarios {
			for _, d := range sc.differs {
				shown[d.id] = append(shown[d.id], th.name+"/"+sc.name)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(shown)) {
		if !listed[id] {
			t.Errorf("%s shows in %v and is not in %s", id, shown[id], listPage)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(listed)) {
		if len(shown[id]) == 0 {
			t.Errorf("%s is in %s and no scenario shows it", id, listPage)
		}
	}
}

// TestScenarios checks the table itself.
func TestScenarios(t *testing.T) {
	played, names := 0, map[string]bool{}
	for _, th := range themes() {
		for _, sc := range th.scenarios {
			name := th.name + "/" + sc.name
			if names[name] {
				t.Errorf("two scenarios are called %s", name)
			}
			names[name] = true
			if len(sc.kinds) == 0 {
				t.Errorf("%s is played under no kind of destination", name)
			}
			played += len(sc.kinds)
		}
	}
	t.Logf("%d scenarios, %d with the kinds of destinations that they are played under", len(names), played)
	if len(names) < 150 {
		t.Errorf("%d scenarios; there were more than 150", len(names))
	}
}
