// Command kubectl-fairlead is a plugin of kubectl that shows what fairlead does: kubectl fairlead.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/internal/cli"
	"fairlead.dev/fairlead/internal/cli/output"
)

func main() { os.Exit(run()) }

func run() int {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	ctx, stop := signal.NotifyContext(context.Background(), slices.DeleteFunc(ends, signal.Ignored)...)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends what the first one has not
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	cmd := cli.New(streams)
	cli.CallAs(cmd, os.Args[0])
	err := cmd.ExecuteContext(ctx)
	if cli.Reports(err) {
		fmt.Fprintln(os.Stderr, "error: "+output.Lines(err.Error()))
	}
	return cli.ExitStatus(err)
}
