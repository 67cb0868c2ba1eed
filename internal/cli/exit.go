package cli

import (
	"errors"

	"fairlead.dev/fairlead/internal/cli/diff"
)

// ExitStatus returns the exit status of a command: 1 where it failed, and as kubectl diff has it, 1 where diff finds differences and 2 where
// it could not compare.
func ExitStatus(err error) int {
	var failed *diff.FailedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return 2
	}
	return 1
}

// Reports reports whether an error is to be printed, rather than an exit status alone.
func Reports(err error) bool { return err != nil && !errors.Is(err, diff.ErrDiffers) }
