package hack_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// How long files and functions may be. Tests hold tables, which may be longer than a function that does something; what matters of them is that
// they do not grow without end.
const (
	maxFile         = 400
	maxFunction     = 40
	maxTestFunction = 200
)

// TestFilesAndFunctionsAreShort: what is longer does more than one thing, and is divided.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	var functions []int // lengths, without those of tests
	for _, path := range tracked(t, "*.go") {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, filepath.Join("..", path), nil, parser.ParseComments)
		if err != nil {
			if strings.Contains(err.Error(), "no such file") {
				continue // deleted, and not committed yet
			}
			t.Fatal(err)
		}
		if ast.IsGenerated(f) {
			continue
		}
		if n := files.Position(f.FileEnd).Line; n >= maxFile {
			t.Errorf("%s has %d lines; a file has fewer than %d", path, n, maxFile)
		}
		limit := maxFunction
		if strings.HasSuffix(path, "_test.go") {
			limit = maxTestFunction
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			at := files.Position(fn.Pos())
			n := files.Position(fn.End()).Line - at.Line + 1
			if n > limit {
				t.Errorf("%s:%d: %s has %d lines; a function has %d at the most", path, at.Line, fn.Name.Name, n, limit)
			}
			if limit == maxFunction {
				functions = append(functions, n)
			}
		}
	}
	slices.Sort(functions)
	if p99 := functions[len(functions)*99/100]; p99 >= maxFunction {
		t.Errorf("one function in a hundred has %d lines or more, want fewer than %d", p99, maxFunction)
	}
}
