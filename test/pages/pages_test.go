package pages

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocksAreRead(t *testing.T) {
	const page = "a\n```sh\n# why\nkubectl get \\\n  pods    # all\n\nx=$(date)\n```\nb\n```text\n$ kubectl get nodes\nNAME\n```\n```yaml\n$ no\n```\n   ```sh\n   indented\n   ```\n"
	got, err := read("p.md", page)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{"p.md", 2, []string{"kubectl get \\\n  pods    # all", "x=$(date)"}},
		{"p.md", 10, []string{"kubectl get nodes"}},
		{"p.md", 17, []string{"   indented"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if _, err := read("p.md", "```\nkubectl get pods\n```\n"); err == nil || !strings.Contains(err.Error(), "p.md:1") {
		t.Errorf("a block without a language: %v", err)
	}
}

// Each exception is about a command that a page shows, and says why; and not every command comes under one.
func TestExceptionsAreNeeded(t *testing.T) {
	blocks, err := Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	run := 0
	needed := map[*Exception]bool{}
	for _, b := range blocks {
		for _, c := range b.Commands {
			if e := Find(b.Page, c); e != nil {
				needed[e] = true
			} else {
				run++
			}
		}
	}
	for i := range Elsewhere {
		if e := &Elsewhere[i]; !needed[e] || e.Begins == "" || e.Why == "" {
			t.Errorf("%q of %q is no command of a page, comes under an exception before, or has no reason", e.Begins, e.Page)
		}
	}
	if run < 80 {
		t.Errorf("%d commands are left to run", run)
	}
}

// A script ends with the first command that fails, and shows it.
func TestScripts(t *testing.T) {
	names := map[string]string{"NAME": "it's"}
	for name, tc := range map[string]struct {
		commands []string
		fails    bool
		prints   string
	}{
		"one":                        {[]string{`echo "NAME" NAMES`}, false, "$ echo \"it's\" NAMES\nit's NAMES\n"},
		"the first fails":            {[]string{"false", "echo b"}, true, "$ false\nexit status 1\n"},
		"a pipe":                     {[]string{"echo a | grep a", "echo a | grep b", "echo b"}, false, "$ echo a | grep a\na\n$ echo a | grep b\n$ echo b\nb\n"},
		"the middle of a pipe":       {[]string{"echo a | grep b | sort | uniq -c", "echo b"}, false, "$ echo a | grep b | sort | uniq -c\n$ echo b\nb\n"},
		"grep in the middle":         {[]string{"echo a | grep -E '(' | sort", "echo b"}, true, "exit status 2 in a pipe\n"},
		"the beginning of a pipe":    {[]string{"false | grep b", "echo b"}, true, "$ false | grep b\nexit status 1 in a pipe\n"},
		"grep itself":                {[]string{"echo a | grep -E '('", "echo b"}, true, "exit status 2\n"},
		"variables":                  {[]string{"x=$(echo a)", "echo $x # said"}, false, "$ x=$(echo a)\n$ echo $x # said\na\n"},
		"it goes on behind a slash":  {[]string{"echo \\\n  a"}, false, "$ echo \\\n  a\na\n"},
		"in the background, and out": {[]string{"sleep 1000 &", "kill %1", "make try"}, false, "$ sleep 1000 &\n$ kill %1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("bash", "-euo", "pipefail", "-c", Block{Commands: tc.commands}.Script(names, 1)).CombinedOutput()
			if (err != nil) != tc.fails || !strings.HasSuffix(string(out), tc.prints) {
				t.Errorf("%v, printed %q", err, out)
			}
		})
	}
	if s := (Block{Commands: []string{"make try"}}).Script(nil, 1); s != "" {
		t.Errorf("of nothing: %q", s)
	}
}

// What goes on until somebody ends it is to go on.
func TestEndlessCommands(t *testing.T) {
	s := Block{Commands: []string{"kubectl fairlead tap -n shop"}}.Script(nil, 1)
	if !strings.Contains(s, "timeout --signal=INT 1 kubectl fairlead tap") {
		t.Fatal(s)
	}
	for program, fails := range map[string]bool{"true": true, "sleep 1000": false} {
		out, err := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(s, "1 kubectl fairlead tap -n shop", "1 "+program)).CombinedOutput()
		if (err != nil) != fails {
			t.Errorf("%s: %v, %s", program, err, out)
		}
	}
}
