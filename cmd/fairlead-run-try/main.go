// Command fairlead-run-try is temporary.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"fairlead.dev/fairlead/internal/cli/run"
)

func main() {
	c := run.New(nil)
	c.SetArgs(os.Args[2:])
	var exit *run.ExitError
	switch err := c.ExecuteContext(context.Background()); {
	case errors.As(err, &exit):
		os.Exit(exit.Code)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fairlead:", err)
		os.Exit(1)
	}
}
