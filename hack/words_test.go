package hack_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// metaphors are words that the tree has done without since it says things in the field's terms, each with what to say instead.
var metaphors = map[string]string{
	"conveyor": "data plane", "letterbox": "config client", "mailbox": "queue", "office": "manager", "workshop": "agent", "foreman": "call",
	"blueprint": "compiled policy", "clerk": "status reconciler", "desk": "object reconciler", "dock": "pools", "farewell": "terminal event",
	"furnish": "set up", "witness": "effective session", "guest": "peer", "bureau": "fixture", "landlord": "owner", "postman": "sender",
	"told": "sent, given, reported or distinguished", "hatch": "server", "keeper": "renewer", "fate": "retry decision", "doorkeeper": "capture", "lodger": "pod",
}

// asNoun finds what is called an attempt everywhere but in the API's perTry and the access log's tries.
var asNoun = regexp.MustCompile(`(?i)\b(a|an|each|every|another|second|failed|no|the|first|last|next|between|all|its|%d) (try|tries)\b`)

// TestWordsAreTheFieldsOwn: metaphors that were once used for parts of the system do not come back.
func TestWordsAreTheFieldsOwn(t *testing.T) {
	var any []string
	for word := range metaphors {
		any = append(any, word)
	}
	pattern := regexp.MustCompile(`(?i)\b(` + strings.Join(any, "|") + `)s?\b`)
	for _, path := range tracked(t, "*.go", "*.md", "*.sh", "*.mk", "*.proto", "*.yaml", "Makefile") {
		if path == "hack/words_test.go" || path == "CHANGELOG.md" { // which names what things were called
			continue
		}
		b, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			continue // deleted, and not committed yet
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := pattern.FindStringSubmatch(line); m != nil {
				t.Errorf("%s:%d says %q; say %q", path, i+1, m[0], metaphors[strings.ToLower(m[1])])
			}
			if !strings.Contains(line, " tr") {
				continue
			}
			if m := asNoun.FindString(line); m != "" {
				t.Errorf("%s:%d says %q; say attempt", path, i+1, m)
			}
		}
	}
}
