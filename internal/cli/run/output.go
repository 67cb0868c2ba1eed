package run

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// output is standard error, to which the command writes too.
type output struct {
	// immutable
	to    io.Writer
	quiet bool

	mu    sync.Mutex
	drawn bool // guarded by mu; the terminal shows live figures
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(p)
}

// say writes a sentence for whoever runs the command.
func (o *output) say(format string, args ...any) {
	if !o.quiet {
		_, _ = fmt.Fprintf(o, "fairlead: "+format+"\n", args...) // standard error is gone if this fails
	}
}

func (o *output) sayAll(sentences []string) {
	for _, s := range sentences {
		o.say("%s", s)
	}
}

// live reports whether figures can be shown in place.
func (o *output) live() bool {
	f, ok := o.to.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const clearScreen = "\x1b[H\x1b[2J"

// redraw has write write onto an empty screen.
func (o *output) redraw(write func()) {
	_, _ = io.WriteString(o, clearScreen)
	o.mu.Lock()
	o.drawn = true
	o.mu.Unlock()
	write()
}

// clear ends what redraw began.
func (o *output) clear() {
	o.mu.Lock()
	drawn := o.drawn
	o.drawn = false
	o.mu.Unlock()
	if drawn {
		_, _ = io.WriteString(o, clearScreen)
	}
}
