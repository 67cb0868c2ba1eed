package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// harness is the folder of the tests that can do without a field, and variable tells them which.
	harness  = "internal/agent/proxy"
	variable = "FAIRLEAD_WITHOUT_FIELD"
	// overVariable has the tests of calls in the clear go over TLS.
	overVariable = "FAIRLEAD_OVER_TLS"
	// limit bounds a run: without a field a test may wait for ever.
	limit = time.Minute
)

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (Test\w+)`)

// binary is the test program of the harness.
type binary struct{ folder string }

func build() (*binary, error) {
	folder, err := os.MkdirTemp("", "fairlead-enforcement-")
	if err != nil {
		return nil, err
	}
	b := &binary{folder}
	if out, err := exec.Command("go", "test", "-c", "-o", b.path(), "./"+harness).CombinedOutput(); err != nil {
		b.remove()
		return nil, fmt.Errorf("build the tests: %w\n%s", err, out)
	}
	return b, nil
}

func (b *binary) remove()      { _ = os.RemoveAll(b.folder) }
func (b *binary) path() string { return filepath.Join(b.folder, "proxy.test") }

// complete runs every declared test with every field, since one that fails anyway proves nothing, and those that are to be run over TLS as well.
func (b *binary) complete(rows []row, tests []declared) error {
	all := map[string][]declared{}
	for _, t := range tests {
		if t.field == "" {
			all[t.driver] = append(all[t.driver], t)
		}
	}
	for _, r := range rows {
		if dropped(r.driver) {
			all[r.over()] = append(all[r.over()], r.tests...)
		}
	}
	for over, tests := range all {
		if out, err := b.run(tests, "", over); err != nil {
			return fmt.Errorf("tests fail with every field (over TLS: %q): %w\n%s", over, err, out)
		}
	}
	return nil
}

// fails returns the tests of r that fail without its field, or did not end.
func (b *binary) fails(r row) ([]string, error) {
	out, err := b.run(r.tests, r.field, r.over())
	if err == nil {
		return nil, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil, fmt.Errorf("run the tests without %s: %w", r.field, err)
	}
	if strings.Contains(out, "panic: test timed out") {
		return []string{"no end"}, nil
	}
	var failed []string
	for _, m := range failedTest.FindAllStringSubmatch(out, -1) {
		failed = append(failed, m[1])
	}
	if len(failed) == 0 { // it has ended for another reason, which proves nothing
		return nil, fmt.Errorf("the tests without %s end with %w:\n%s", r.field, err, out)
	}
	return failed, nil
}

// over is what the tests of the row are run over; empty: what they say themselves.
func (r row) over() string {
	if r.carries == "" {
		return ""
	}
	return r.driver
}

func (b *binary) run(tests []declared, without, over string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path(), "-test.run", pattern(tests), "-test.timeout", limit.String(), "-test.parallel", "32", "-test.failfast")
	cmd.Dir = harness
	cmd.Env = append(os.Environ(), variable+"="+without, overVariable+"="+over)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pattern selects tests, each once.
func pattern(tests []declared) string {
	var names []string
	for _, t := range tests {
		names = append(names, t.name)
	}
	slices.Sort(names)
	return "^(" + strings.Join(slices.Compact(names), "|") + ")$"
}

func dropped(driver string) bool { return slices.Contains(dropping, driver) }
