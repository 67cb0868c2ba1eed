package cli

import (
	"errors"

	"fairlead.dev/fairlead/internal/cli/diff"
	"fairlead.dev/fairlead/internal/cli/run"
)

// ExitStatus returns the exit status of a command: 1 where it failed, and as kubectl diff has it, 1 where diff finds differences and 2 where
// it could not compare. That of run is the command's own.
func ExitStatus(err error) int {
	var failed *diff.FailedError
	var ended *run.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return 2
	case errors.As(err, &ended):
		return ended.Code
	}
	return 1
}

// Reports reports whether an error is to be printed, rather than an exit status alone.
func Reports(err error) bool {
	var ended *run.ExitError
	return err != nil && !errors.Is(err, diff.ErrDiffers) && !errors.As(err, &ended)
}
