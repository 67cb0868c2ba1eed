package suggest

import (
	"os"
	"strings"
	"testing"
)

// The page shows what the command prints.
func TestTheDocsShowWhatIsSuggested(t *testing.T) {
	page, err := os.ReadFile("../../../docs/reference/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/http.golden")
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.TrimPrefix(string(golden), "---\n"); !strings.Contains(string(page), "```yaml\n"+text+"```") {
		t.Error("docs/reference/cli.md does not show testdata/http.golden")
	}
}
