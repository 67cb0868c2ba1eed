// Command enforcement proves that every field which is listed as enforced is: for each of them it runs the tests that are declared for it
// as if no policy wrote the field, and fails unless one of them does. Its own tests keep docs/reference/enforcement.md.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"fairlead.dev/fairlead/internal/controller/compile"
)

// parallel is how many runs go on at once; most of their time they wait.
const parallel = 6

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	tests, err := allDeclarations(".")
	if err != nil {
		return err
	}
	rows, err := table(compile.Fields(), tests)
	if err != nil {
		return err
	}
	b, err := build()
	if err != nil {
		return err
	}
	defer b.remove()
	if err := b.complete(rows, tests); err != nil {
		return err
	}
	return b.without(rows)
}

// without runs the tests of each row without its field.
func (b *binary) without(rows []row) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !dropped(r.driver) })
	errs := make([]error, len(rows))
	var wg sync.WaitGroup
	places := make(chan struct{}, parallel)
	for i, r := range rows {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			errs[i] = b.try(r)
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err == nil {
		fmt.Printf("each of %d fields in its drivers is held by a test that fails without it\n", len(rows))
	}
	return err
}

// name is that of the driver, and of what it carries.
func (r row) name() string {
	if r.carries == "" {
		return r.driver
	}
	return r.carries + " over " + r.driver
}

func (b *binary) try(r row) error {
	failed, err := b.fails(r)
	if err == nil && len(failed) == 0 { // what is about time can pass without its field on a busy machine, not each time
		failed, err = b.fails(r)
	}
	if err == nil && len(failed) == 0 {
		err = fmt.Errorf("without %s no test of the driver %s fails: %s", r.field, r.name(), pattern(r.tests))
	}
	if err == nil {
		fmt.Printf("without %s (%s): %s\n", r.field, r.name(), strings.Join(failed, ", "))
	}
	return err
}
