package screen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	tea "charm.land/bubbletea/v2"
	"github.com/go-logr/logr"
	"golang.org/x/term"
	"k8s.io/klog/v2"
)

// Live reports whether a view can be drawn on w: it is a terminal that can do more than print.
func Live(w io.Writer) bool {
	name := os.Getenv("TERM")
	return isTerminal(w) && name != "" && name != "dumb"
}

func isTerminal(of any) bool {
	f, ok := of.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Run draws a view on a terminal until it quits or ctx ends, and leaves the terminal as it was, whatever ends it. Keys are read from in if that is a
// terminal, otherwise from the one that the process has.
func Run(ctx context.Context, in io.Reader, out io.Writer, m tea.Model) error {
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithOutput(out), tea.WithoutSignalHandler()}
	if isTerminal(in) {
		options = append(options, tea.WithInput(in))
	}
	// Libraries that log would write onto the view.
	klog.SetLogger(logr.Discard())
	defer klog.ClearLogger()
	_, err := tea.NewProgram(m, options...).Run()
	if err != nil && ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled) && !errors.Is(err, tea.ErrProgramPanic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	return nil
}
