package h2

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is locked is unlocked by what is deferred at once, so that a panic, which ends one connection, leaves no lock held that others wait
// for.
func TestLocksAreReleasedWhateverPanics(t *testing.T) {
	files, locks := token.NewFileSet(), 0
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			block, ok := n.(*ast.BlockStmt)
			if !ok {
				return true
			}
			for i, statement := range block.List {
				what, ok := locked(statement)
				if !ok {
					continue
				}
				locks++
				if i+1 == len(block.List) || unlocked(block.List[i+1]) != what {
					t.Errorf("%v: %s is not unlocked by the next statement, deferred", files.Position(statement.Pos()), what)
				}
			}
			return true
		})
	}
	if locks < 20 {
		t.Errorf("%d locks were found", locks)
	}
}

// locked returns what a statement locks.
func locked(s ast.Stmt) (what string, ok bool) {
	e, ok := s.(*ast.ExprStmt)
	if !ok {
		return "", false
	}
	return receiver(e.X, "Lock")
}

// unlocked returns what a deferred statement unlocks; empty: nothing.
func unlocked(s ast.Stmt) string {
	d, ok := s.(*ast.DeferStmt)
	if !ok {
		return ""
	}
	what, _ := receiver(d.Call, "Unlock")
	return what
}

// receiver returns whose method is called.
func receiver(e ast.Expr, method string) (string, bool) {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return "", false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != method {
		return "", false
	}
	var b strings.Builder
	for x := f.X; ; {
		switch s := x.(type) {
		case *ast.SelectorExpr:
			b.WriteString(s.Sel.Name + " of ")
			x = s.X
			continue
		case *ast.Ident:
			b.WriteString(s.Name)
		}
		return b.String(), true
	}
}
