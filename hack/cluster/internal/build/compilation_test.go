package build

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestACompilationSaysHowFarItIs by the names that go build prints, in any order, and keeps its other lines.
func TestACompilationSaysHowFarItIs(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("example.org/p%d", i))
	}
	now := time.Unix(0, 0)
	var said []string
	c := newCounter("etcd", []byte(strings.Join(names, "\n")), func() time.Time { return now },
		func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }, func() { said = append(said, "all") })
	text := follow(strings.NewReader(strings.Join(names[:4], "\n")+"\n# example.org/p3\np3.go:1: syntax error\n"), c)
	if text != "# example.org/p3\np3.go:1: syntax error\n" {
		t.Errorf("lines that name no package: %q", text)
	}
	c.report()
	now = now.Add(50 * time.Second)
	follow(strings.NewReader(strings.Join(names[4:25], "\n")+"\n"+names[0]+"\n"), c) // one twice
	c.report()
	follow(strings.NewReader(strings.Join(names[25:], "\n")), c)
	c.report()
	want := []string{"etcd: 4 of 100 packages", "etcd: 25 of 100 packages, about 2m30s left", "all", "etcd: linking"}
	if !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}
