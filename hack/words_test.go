package hack_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// metaphors are words that the tree has done without since it says things in the field's terms, each with what to say instead.
var metaphors = map[string]string{
	"conveyor": "data plane", "letterbox": "config client", "mailbox": "queue", "office": "manager", "workshop": "agent", "foreman": "call",
	"blueprint": "compiled policy", "clerk": "status reconciler", "desk": "object reconciler", "dock": "pools", "farewell": "terminal event",
	"furnish": "set up", "witness": "effective session", "guest": "peer", "bureau": "fixture", "landlord": "owner", "postman": "sender",
	"told": "sent, given, reported or distinguished", "hatch": "server", "keeper": "renewer", "fate": "retry decision", "doorkeeper": "capture", "lodger": "pod",
	"pump": "send", "salvage": "release", "herd": "many at once",
}

// vague are words that sentences need and names do not: each has meant several things at a time, and a better one for each.
var vague = map[string]string{
	"tell": "notify, report or send", "settle": "return, end or complete",
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

// TestNamesAreTheFieldsOwn: neither are they parts of names, where no word begins or ends.
func TestNamesAreTheFieldsOwn(t *testing.T) {
	for _, path := range tracked(t, "*.go") {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, filepath.Join("..", path), nil, parser.SkipObjectResolution)
		if err != nil {
			if os.IsNotExist(err) {
				continue // deleted, and not committed yet
			}
			t.Fatal(err)
		}
		seen := map[string]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || seen[id.Name] || isTest(id.Name) {
				return true
			}
			seen[id.Name] = true
			if word, say := refused(id.Name); word != "" {
				t.Errorf("%s: %s says %q; say %s", files.Position(id.Pos()), id.Name, word, say)
			}
			return true
		})
	}
}

// isTest reports whether a name is that of a test, which is a sentence.
func isTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz")
}

// refused finds a word in a name that is not to be there, in whatever form a verb or a noun has in names.
func refused(name string) (word, say string) {
	for _, part := range parts(name) {
		for _, stem := range forms(part) {
			if s, ok := metaphors[stem]; ok {
				return part, s
			}
			if s, ok := vague[stem]; ok {
				return part, s
			}
		}
	}
	return "", ""
}

// forms returns a word and what it may be a form of: settle for unsettled, settles and settled.
func forms(word string) []string {
	all := []string{word}
	for _, end := range []string{"s", "d", "ed", "r", "er"} {
		if stem, ok := strings.CutSuffix(word, end); ok {
			all = append(all, stem)
		}
	}
	for _, w := range slices.Clone(all) {
		if stem, ok := strings.CutPrefix(w, "un"); ok {
			all = append(all, stem)
		}
	}
	return all
}

// parts splits a name at its capitals and underscores: HTTPServerOf is http, server and of.
func parts(name string) []string {
	letters := []rune(name)
	var all []string
	begin := 0
	cut := func(end int) {
		if part := strings.Trim(string(letters[begin:end]), "_0123456789"); part != "" {
			all = append(all, strings.ToLower(part))
		}
		begin = end
	}
	for i := 1; i < len(letters); i++ {
		next := i+1 < len(letters) && unicode.IsLower(letters[i+1])
		switch {
		case letters[i] == '_':
			cut(i)
		case unicode.IsUpper(letters[i]) && (!unicode.IsUpper(letters[i-1]) || next):
			cut(i)
		}
	}
	cut(len(letters))
	return all
}

func TestNamesAreSplit(t *testing.T) {
	for name, want := range map[string]string{
		"fateOf": "fate of", "byFate": "by fate", "HTTPServerOf": "http server of", "x": "x", "sendHTTP2": "send http", "max_fates": "max fates", "unsettledAt": "unsettled at",
	} {
		if got := strings.Join(parts(name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"fateOf": "fate", "byFate": "fate", "pumpAll": "pump", "unsettled": "unsettled", "isSettled": "settled", "tellAll": "tell", "doorkeepers": "doorkeepers",
		"outlet": "", "settings": "", "teller": "teller", "intelligent": "", "template": "",
	} {
		if got, _ := refused(name); got != want {
			t.Errorf("%s: %q is refused, want %q", name, got, want)
		}
	}
}
