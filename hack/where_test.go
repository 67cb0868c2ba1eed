package hack_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
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

// dotted is a name of the code in a diagram: of a type and its method, with or without the package, or of a package and what it declares.
var dotted = regexp.MustCompile(`\pL\w*(?:\.\pL\w*)+`)

// TestDiagramsNameTheCode: what the diagrams of docs/architecture.md call by a name with a dot is declared: as package.Type.method, Type.method or
// package.Function.
func TestDiagramsNameTheCode(t *testing.T) {
	declared := map[string]bool{}
	for _, file := range tracked(t, "internal/*.go", "api/*.go", "cmd/*.go") {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".pb.go") {
			continue
		}
		for name := range declarations(t, file) {
			declared[path.Base(path.Dir(file))+"."+name] = true
			if strings.Contains(name, ".") {
				declared[name] = true
			}
		}
	}
	named := 0
	for _, section := range []string{"The path of a connection", "The path of a policy"} {
		_, diagram, found := strings.Cut(read(t, "docs/architecture.md"), "\n## "+section+"\n\n```text\n")
		diagram, _, ended := strings.Cut(diagram, "\n```\n")
		if !found || !ended {
			t.Fatalf("docs/architecture.md has no diagram under %q", section)
		}
		for _, name := range dotted.FindAllString(diagram, -1) {
			if named++; !declared[name] {
				t.Errorf("%q in docs/architecture.md speaks of %s, which nothing declares", section, name)
			}
		}
	}
	if named < 40 {
		t.Errorf("the diagrams have %d names; they should say where everything is", named)
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
					if i, ok := s.Type.(*ast.InterfaceType); ok {
						for _, m := range i.Methods.List {
							for _, n := range m.Names {
								names[s.Name.Name+"."+n.Name] = true
							}
						}
					}
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
