package hack_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// whereRow is a row of the table "Where is …?": a question, a file, and symbols that it declares, methods with their receiver.
var whereRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| \\[`([^`]+)`\\]\\([^)]+\\) \\| ((?:`[^`]+`(?:, )?)+) \\|$")

// TestWhereIsTheCode: the table in docs/architecture.md names files that exist and what they declare.
func TestWhereIsTheCode(t *testing.T) {
	_, table, found := strings.Cut(read(t, "docs/architecture.md"), "\n## Where is …?\n")
	if !found {
		t.Fatal("docs/architecture.md has no section \"Where is …?\"")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	rows := whereRow.FindAllStringSubmatch(table, -1)
	if lines := strings.Count(table, "\n| ") - 1; len(rows) != lines || lines < 12 { // but for the head
		t.Fatalf("%d of %d rows are well-formed; there must be a dozen: | question | [`file`](link) | `Symbol`, `Type.method` |", len(rows), lines)
	}
	for _, row := range rows {
		declared := declarations(t, row[1])
		for _, name := range strings.Split(row[2], ", ") {
			if name = strings.Trim(name, "`"); !declared[name] {
				t.Errorf("docs/architecture.md says that %s is in %s, which does not declare it", name, row[1])
			}
		}
	}
}

// declarations lists the functions, methods and types of a file.
func declarations(t *testing.T, file string) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	names := map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range s.Names {
						names[n.Name] = true
					}
				}
			}
		}
	}
	return names
}

// receiver returns a method's type and a dot, or nothing.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	e := d.Recv.List[0].Type
	if p, ok := e.(*ast.StarExpr); ok {
		e = p.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}
