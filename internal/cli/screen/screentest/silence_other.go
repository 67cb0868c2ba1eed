//go:build !linux

package screentest

import "os"

// silence does nothing where tests are not run.
func silence(*os.File) error { return nil }
