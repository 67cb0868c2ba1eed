package main

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/controller/compile"
)

var update = flag.Bool("update", false, "write docs/reference/enforcement.md")

const (
	root       = "../.."
	pageOfDocs = "docs/reference/enforcement.md"
)

// Every enforced field has a test in each driver that it concerns, and the page says which.
func TestEveryEnforcedFieldHasATest(t *testing.T) {
	tests, err := allDeclarations(root)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := table(compile.Fields(), tests)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, pageOfDocs)
	if *update {
		if err := os.WriteFile(file, []byte(page(rows)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(file); string(got) != page(rows) {
		t.Errorf("%s is not current: run go test ./hack/enforcement -update", pageOfDocs)
	}
}

func TestEveryEntryConcernsAField(t *testing.T) {
	for i, c := range concerns {
		found := false
		for _, f := range compile.Fields() {
			drivers := driversOf(f.Path)
			found = found || len(drivers) > 0 && &drivers[0] == &concerns[i].drivers[0]
		}
		if !found {
			t.Errorf("the entry %s holds for no field", c.field)
		}
	}
}

func TestTheTableFindsWhatIsAmiss(t *testing.T) {
	idle := []compile.Field{{Path: "timeouts.idle"}}
	held := []declared{
		{harness, "TestA", "timeouts.idle", http1, nil}, {harness, "TestB", "timeouts.idle", opaque, nil}, {harness, "TestD", "timeouts.idle", http2, nil},
		{harness, "TestE", "timeouts.idle", grpc, nil},
	}
	inClear := slices.Clone(held)
	inClear[2].notOver = []string{originate}
	for name, tc := range map[string]struct {
		fields []compile.Field
		tests  []declared
		want   string
	}{
		"nothing":                  {idle, held, ""},
		"a test is missing":        {idle, held[:1], "timeouts.idle is enforced and no test is declared for it in the driver opaque"},
		"a field is unknown":       {idle, append(held[:4:4], declared{harness, "TestC", "timeouts.ilde", http1, nil}), "no enforced field"},
		"a driver is unknown":      {idle, append(held[:4:4], declared{harness, "TestC", "timeouts.idle", "http7", nil}), "no enforced field of the driver http7"},
		"a field without a driver": {append([]compile.Field{{Path: "new.field"}}, idle...), held, "new.field is enforced, and concerns no driver"},
		"one test for two drivers": {idle, append(held[:4:4], declared{harness, "TestA", "timeouts.idle", opaque, nil}), "declared for timeouts.idle twice"},
		"a test that needs the field": {
			idle, append(held[:4:4], declared{"internal/agent/call", "TestC", "timeouts.idle", http1, nil}), "can do without a field",
		},
		"a test in the clear alone": {idle, inClear, "no test of the driver http2 can be run over originate"},
		"one over TLS instead":      {idle, append(inClear[:4:4], declared{harness, "TestC", "timeouts.idle", originate, nil}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := table(tc.fields, tc.tests)
			if tc.want == "" && err == nil {
				return
			}
			if err == nil || tc.want == "" || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestDeclarations(t *testing.T) {
	got, err := declarations("a/b_test.go", []byte("// A test.\n//\n//enforces:http1 x y[].z\n//enforces:opaque x\n//notover:originate,intercept why\nfunc TestIt(t *testing.T) {\n}\n"))
	if err != nil || len(got) != 3 || !reflect.DeepEqual(got[1], declared{"a", "TestIt", "y[].z", http1, []string{originate, intercept}}) || got[2].driver != opaque {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = declarations("a/b_test.go", []byte("// A test.\n//\n//overtls:originate,intercept\nfunc TestIt(t *testing.T) {\n}\n"))
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[1], declared{"a", "TestIt", "", intercept, nil}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"//enforces:http1 x\nfunc helper() {\n", "//enforces:http1 x\n\nfunc TestIt(t *testing.T) {\n", "//enforces x\nfunc TestIt(", "//notover:originate why\nfunc TestIt("} {
		if _, err := declarations("a/b_test.go", []byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
