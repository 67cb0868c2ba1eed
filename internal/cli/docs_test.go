package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/internal/cli/kube"
)

const page = "../../docs/reference/cli.md"

var shown = regexp.MustCompile("(?s)```text\n(.*?)```")

// TestTheDocsShowWhatCommandsPrint: each example is what a command prints in a test.
func TestTheDocsShowWhatCommandsPrint(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*/testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var printed []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(b))
	}
	examples := shown.FindAllStringSubmatch(string(text), -1)
	if len(examples) < 6 {
		t.Errorf("%s has %d examples", page, len(examples))
	}
	for _, m := range examples {
		want := m[1]
		if strings.HasPrefix(want, "$ ") {
			_, want, _ = strings.Cut(want, "\n")
		}
		found := false
		for _, p := range printed {
			found = found || strings.Contains(p, want)
		}
		if !found {
			t.Errorf("no command prints\n%s", want)
		}
	}
}

// TestTheDocsHaveEveryCommand: each command that a user sees has a row in the table and, but for help, a name that the docs give.
func TestTheDocsHaveEveryCommand(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range New(genericiooptions.NewTestIOStreamsDiscard()).Commands() {
		if name := c.Name(); !c.Hidden && name != "help" && name != "completion" && !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("%s does not name the command %s", page, name)
		}
		if c.Short == "" || c.Args == nil && c.Name() != "completion" && c.Name() != "help" {
			t.Errorf("%s has no sentence for help, or takes any arguments", c.Name())
		}
	}
}

// Escape sequences in what a cluster holds do not reach the terminal, whichever command prints them.
func TestTerminalsDoNotActOnWhatClustersHold(t *testing.T) {
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	env := kube.NewEnv(streams)
	cmd := root(env)
	dir := t.TempDir()
	evil := filepath.Join(dir, "evil.yaml")
	manifest := `
apiVersion: policy.fairlead.dev/v1alpha1
kind: RetryPolicy
metadata: {name: p, namespace: default}
spec:
  to: [{any: {}}]
  retry: {maxRetries: 1, responseHeaders: [{name: x, value: "\u009b31mred\u202e"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: "a\e[2Jb", namespace: default}
`
	if err := os.WriteFile(evil, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"", "json", "yaml"} {
		cmd.SetArgs([]string{"explain", "a\x1b[2Jb", "http://x/\u009b2J", "-f", evil, "-n", "default", "--header", "h: \x1b]0;title\x07", "-o", format})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := out.String() + errOut.String()
	if strings.ContainsAny(all, "\x1b\x07\u009b\u202e") {
		t.Errorf("printed %q", all)
	}
	if !strings.Contains(all, `a\x1b[2Jb`) || !strings.Contains(all, `\u009b31mred\u202e`) {
		t.Errorf("what was escaped is not shown: %q", all)
	}
}
