package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every condition and reason is explained in docs/reference/api.md, and none there is
// made up.
func TestConditionsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(docs), "\n## Conditions\n")
	if !found {
		t.Fatal("docs/reference/api.md has no section Conditions")
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (?:`(\\w+)`)? ?\\| (?:`(\\w+)`)?").FindAllStringSubmatch(table, -1) {
		documented[row[1]], documented[row[2]] = true, true
	}
	delete(documented, "")
	values := map[string]bool{}
	for name, value := range constants(t, "conditions.go") {
		values[value] = true
		if !documented[value] {
			t.Errorf("%s (%s) is not in docs/reference/api.md: add it to hack/generate/api-docs/conditions.tpl", name, value)
		}
		if wellFormed := regexp.MustCompile(`^[A-Z][A-Za-z]*$`); !wellFormed.MatchString(value) {
			t.Errorf("%s (%s) is not one CamelCase word", name, value)
		}
	}
	for value := range documented {
		if !values[value] {
			t.Errorf("docs/reference/api.md explains %s, which no constant has", value)
		}
	}
}

// constants returns the string constants of a file by name, and fails the test
// for those without a comment.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := spec.Names[0].Name
		if !regexp.MustCompile("^" + name + "[ :]").MatchString(spec.Doc.Text()) {
			t.Errorf("%s: want a comment that starts with its name", name)
		}
		found[name] = strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)
		return true
	})
	if len(found) < 20 {
		t.Fatalf("%s: found only %d constants", file, len(found))
	}
	return found
}
