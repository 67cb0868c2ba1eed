package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// declared is one field that one test is declared for.
type declared struct {
	folder, name  string
	field, driver string
	// notOver are the modes of TLS over which the test cannot be run.
	notOver []string
}

var (
	directive = regexp.MustCompile(`^//enforces:([a-z0-9]+)((?: \S+)+)$`)
	// exception says over what a test for calls in the clear cannot be run, and why.
	// again is a test that is run over TLS without being about a field.
	again     = regexp.MustCompile(`^//overtls:([a-z,]+)$`)
	exception = regexp.MustCompile(`^//notover:([a-z,]+) \S.*$`)
	testFunc  = regexp.MustCompile(`^func (Test\w+)\(`)
)

// declarations reads the directives above the tests of a file.
func declarations(file string, text []byte) (out []declared, err error) {
	var pending []declared
	var notOver []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		switch m := directive.FindStringSubmatch(line); {
		case m != nil:
			for _, f := range strings.Fields(m[2]) {
				pending = append(pending, declared{folder: path.Dir(file), field: f, driver: m[1]})
			}
		case again.MatchString(line):
			for _, mode := range strings.Split(again.FindStringSubmatch(line)[1], ",") {
				pending = append(pending, declared{folder: path.Dir(file), driver: mode})
			}
		case exception.MatchString(line) && len(pending) > 0:
			notOver = strings.Split(exception.FindStringSubmatch(line)[1], ",")
		case strings.HasPrefix(line, "//enforces"), strings.HasPrefix(line, "//notover"), strings.HasPrefix(line, "//overtls"):
			return nil, fmt.Errorf("%s: %q is no declaration: write //enforces:driver field, and below it //notover:mode why", file, line)
		case len(pending) == 0:
		case testFunc.MatchString(line):
			for _, d := range pending {
				d.name, d.notOver = testFunc.FindStringSubmatch(line)[1], notOver
				out = append(out, d)
			}
			pending, notOver = nil, nil
		default:
			return nil, fmt.Errorf("%s: a declaration is not right above a test, but above %q", file, line)
		}
	}
	return out, nil
}

// allDeclarations reads those of every test file that git tracks, or would track, below root.
func allDeclarations(root string) ([]declared, error) {
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*_test.go")
	cmd.Dir = root
	names, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	var out []declared
	for _, name := range strings.Fields(string(names)) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		d, err := declarations(name, text)
		if err != nil {
			return nil, err
		}
		out = append(out, d...)
	}
	return out, nil
}
