package hack_test

import (
	"regexp"
	"strings"
	"testing"
)

var detailConstant = regexp.MustCompile(`(?m)^\tDetail\w+ +Detail = "([^"]+)"`)

// TestTheAccessLogsDetailsAreListed: docs/operations/README.md lists what detail may say, but for the fields of timeouts, which it names together.
func TestTheAccessLogsDetailsAreListed(t *testing.T) {
	page := read(t, "docs/operations/README.md")
	found := detailConstant.FindAllStringSubmatch(read(t, "internal/agent/routes/detail.go"), -1)
	if len(found) < 20 {
		t.Fatalf("only %d details", len(found))
	}
	for _, m := range found {
		if detail := m[1]; !strings.HasPrefix(detail, "timeouts.") && !strings.Contains(page, "`"+detail+"`") {
			t.Errorf("docs/operations/README.md does not list the detail %q", detail)
		}
	}
}
