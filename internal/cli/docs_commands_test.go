package cli

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/test/pages"
)

var (
	// inText is a command that a page names in a sentence.
	inText = regexp.MustCompile("`((?:kubectl )?fairlead [a-z][^`]*)`")
	// ofUs is the program's part of a command line, and end where that part ends: at the next command, at where its output goes, or at a comment.
	ofUs = regexp.MustCompile(`(?:^ *fairlead|\bkubectl fairlead) ([a-z].*)`)
	end  = regexp.MustCompile(`\s*(?:\||>|;|&&|\s#|\s&$).*`)
	// word is a word of a command line; what stands in quotes is one, and so is what stands between angle brackets.
	word = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|\S)+`)
)

// TestTheDocsCommandsHaveTheirFlags: each command that a page names, in a block or in a sentence, is one, with these flags.
func TestTheDocsCommandsHaveTheirFlags(t *testing.T) {
	found := 0
	check := func(page, line string) {
		m := ofUs.FindStringSubmatch(line)
		if m == nil {
			return
		}
		found++
		err := parse(word.FindAllString(end.ReplaceAllString(m[1], ""), -1))
		if named := new(pflag.ValueRequiredError); err != nil && !errors.Is(err, pflag.ErrHelp) && !errors.As(err, &named) { // sentences name flags without their values
			t.Errorf("%s: %s: %v", page, line, err)
		}
	}
	blocks, err := pages.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		for _, c := range b.Commands {
			check(b.Page, strings.ReplaceAll(c, "\\\n", " "))
		}
	}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob("../../" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range inText.FindAllStringSubmatch(string(text), -1) {
				check(f, m[1])
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d commands were found", found)
	}
}

// parse finds the command that arguments name, and reads its flags. What it would do with them nobody asks.
func parse(args []string) error {
	root := New(genericiooptions.NewTestIOStreamsDiscard())
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root {
		return cobra.NoArgs(root, rest)
	}
	return cmd.ParseFlags(rest)
}
