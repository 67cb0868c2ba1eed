package run

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	text "fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/screen"
)

const (
	// maxKept bounds what is kept of what is said while live figures are shown, and lastLines how much of it stands below them.
	maxKept   = 64 << 10
	lastLines = 5
)

// output is standard error, to which the command writes too.
type output struct {
	// immutable
	to    io.Writer
	quiet bool

	mu sync.Mutex
	// guarded by mu
	board *screen.Board // the live figures; nil: there are none
	kept  []byte        // what was said since they are there, the latest of it
}

// Write implements io.Writer. While live figures are shown it is kept until they are gone.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.board == nil {
		return o.to.Write(p)
	}
	o.kept = append(o.kept, p...)
	if over := len(o.kept) - maxKept; over > 0 {
		o.kept = bytes.Clone(o.kept[over:])
	}
	return len(p), nil
}

// say writes a sentence for whoever runs the command, without what a terminal would act on: hosts in it come from whoever calls.
func (o *output) say(format string, args ...any) {
	if !o.quiet {
		_, _ = io.WriteString(o, text.Lines(fmt.Sprintf("fairlead: "+format+"\n", args...))) // standard error is gone if this fails
	}
}

func (o *output) sayAll(sentences []string) {
	for _, s := range sentences {
		o.say("%s", s)
	}
}

// live reports whether figures can be shown in place.
func (o *output) live() bool { return screen.Live(o.to) }

// show shows figures, and below them what was said last.
func (o *output) show(figures []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.board == nil {
		o.board = screen.NewBoard(o.to)
	}
	if said := last(o.kept, lastLines); len(said) > 0 {
		figures = append(append(figures, '\n'), said...)
	}
	o.board.Show(string(figures))
}

// last returns the last lines of a text.
func last(of []byte, n int) []byte {
	lines := bytes.SplitAfter(bytes.TrimSuffix(of, []byte("\n")), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], nil)
}

// clear ends the live figures, and writes what was kept.
func (o *output) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.board == nil {
		return
	}
	o.board.Close()
	o.board = nil
	_, _ = o.to.Write(o.kept) // standard error is gone if this fails
	o.kept = nil
}
