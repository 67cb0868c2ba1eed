package call

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc/codes"
)

// promisedAnswers reads the table of the agent's own answers from docs/guides/grpc.md: the statuses that are named for each reason.
func promisedAnswers(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/guides/grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## The agent's own answers\n")
	if !found {
		t.Fatal("docs/guides/grpc.md has no section on the agent's own answers")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	answers := map[string][]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[3], " `") || strings.Contains(cells[3], "fairlead-reason") {
			continue
		}
		reason := strings.Trim(cells[3], " `")
		answers[reason] = append(answers[reason], cells[2])
	}
	return answers
}

// statusName is how the page names a status of gRPC: 14 `UNAVAILABLE`.
func statusName(status int) string {
	var name strings.Builder
	for i, r := range codes.Code(status).String() { //nolint:gosec // a status of gRPC
		if i > 0 && unicode.IsUpper(r) {
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToUpper(r))
	}
	return fmt.Sprintf("%d `%s`", status, name.String())
}

// docs/guides/grpc.md says of every reason which status calls are answered, and of no other.
func TestRule26_TheAnswersToGRPCAreWrittenDown(t *testing.T) {
	promised := promisedAnswers(t)
	reasons := map[string]bool{}
	for k := range KindCount {
		if k.Reason() == "" {
			continue
		}
		reasons[k.Reason()] = true
		want := statusName(k.GRPCStatus())
		if !slices.ContainsFunc(promised[k.Reason()], func(cell string) bool { return strings.Contains(cell, want) }) {
			t.Errorf("docs/guides/grpc.md says of %s %q; a call that ends with %v is answered %s", k.Reason(), promised[k.Reason()], k, want)
		}
	}
	for reason := range promised {
		if !reasons[reason] {
			t.Errorf("docs/guides/grpc.md has a reason %s that no call ends with", reason)
		}
	}
}
