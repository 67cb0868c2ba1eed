package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/controller/compile"
)

const protocolsFile = "docs/concepts/protocols.md"

func TestThePageOfProtocolsIsCurrent(t *testing.T) {
	file, want := filepath.Join(root, protocolsFile), protocolsPage(compile.Fields())
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(file); string(got) != want {
		t.Errorf("%s is not current: run go test ./hack/enforcement -update", protocolsFile)
	}
}

// What the page says of a protocol is what tests hold for it, and what the manager says of it.
func TestTheTableOfProtocolsAgreesWithTests(t *testing.T) {
	tests, err := allDeclarations(root)
	if err != nil {
		t.Fatal(err)
	}
	// It only spreads what open.duration says, which is held for passed connections.
	const spreads = "circuitBreaker.open.jitterPercent"
	held := func(field string, drivers ...string) bool {
		return slices.ContainsFunc(tests, func(d declared) bool {
			over := slices.Contains(overTLS, drivers[0]) && slices.Contains(inside, d.driver) && !slices.Contains(d.notOver, drivers[0])
			return d.field == field && (over || slices.Contains(append(drivers, agent), d.driver))
		})
	}
	for _, f := range compile.Fields() {
		if _, other := beside[f.Path]; other {
			continue
		}
		cells := strings.Split(protocolRowOf(f).cells, " | ")
		says := func(name string) bool {
			return cells[slices.IndexFunc(columns, func(c column) bool { return c.name == name })] == acts
		}
		for name, drivers := range map[string][]string{
			"HTTP/1.1": {http1}, "HTTP/2": {http2}, "gRPC": {grpc}, "TLS, Originate": {originate}, "TLS, Intercept": {intercept}, "TLS, Passthrough": {opaque}, "TCP": {opaque},
		} {
			if says(name) && !held(f.Path, drivers...) && f.Path != spreads {
				t.Errorf("%s is said to act on %s, and no test holds it there", f.Path, name)
			}
		}
		if passed := says("TCP") || says("TLS, Passthrough"); passed == compile.AboutRequests(f.Path) && !strings.HasPrefix(f.Path, "to[]") {
			t.Errorf("%s is said to act on passed connections: %v, and to be about requests: %v", f.Path, passed, !passed)
		}
		if !slices.Contains(cells, acts) {
			t.Errorf("%s is enforced and acts on nothing", f.Path)
		}
	}
}

func TestTheTableOfProtocolsFoldsWhatIsAlike(t *testing.T) {
	got := fold([]protocolRow{
		{path: "a.b.c", cells: "1"}, {path: "a.b.d", cells: "1"}, {path: "a.e", cells: "2"},
		{path: "f[].g", cells: "1"}, {path: "f[].h", cells: "1"}, {path: "i.j", cells: "1"},
		{path: "k.l", cells: "1", values: "x"}, {path: "k.m", cells: "1"},
	}, 1)
	var paths []string
	for _, r := range got {
		paths = append(paths, r.path)
	}
	if want := []string{"a.b", "a.e", "f[]", "i.j", "k.l", "k.m"}; !slices.Equal(paths, want) {
		t.Errorf("got %q, want %q", paths, want)
	}
}
