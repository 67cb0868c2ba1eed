// Package screentest is a terminal for tests: a pseudo-terminal, and an emulator that says what stands on it.
package screentest

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// patience is how long what must happen may take on a busy machine.
const patience = time.Minute

// Terminal is a terminal that programs draw on.
type Terminal struct {
	// TTY is the side of programs.
	TTY *os.File

	t    testing.TB
	pty  *os.File
	more chan struct{} // something comes on it when something was drawn

	mu sync.Mutex
	// guarded by mu
	screen *vt.Emulator
	raw    strings.Builder
}

// New returns a terminal of a size, that ends with the test.
func New(t testing.TB, columns, rows int) *Terminal {
	t.Helper()
	t.Setenv("TERM", "xterm-256color")
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := silence(theirs); err != nil {
		t.Fatal(err)
	}
	term := &Terminal{TTY: theirs, t: t, pty: ours, more: make(chan struct{}, 1), screen: vt.NewEmulator(columns, rows)}
	var working sync.WaitGroup
	working.Go(term.draw)
	working.Go(term.answer)
	t.Cleanup(func() {
		_ = theirs.Close()
		_ = ours.Close() // which ends draw, though a program that is left may have the other side
		_ = term.screen.InputPipe().(interface{ Close() error }).Close()
		working.Wait()
	})
	term.Resize(columns, rows)
	return term
}

// draw draws what programs write.
func (t *Terminal) draw() {
	buffer := make([]byte, 4096)
	for {
		n, err := t.pty.Read(buffer)
		t.mu.Lock()
		t.raw.Write(buffer[:n])
		_, _ = t.screen.Write(buffer[:n]) // it takes all
		t.mu.Unlock()
		select {
		case t.more <- struct{}{}:
		default:
		}
		if err != nil {
			return // programs have closed it
		}
	}
}

// answer writes what the terminal answers when programs ask about it.
func (t *Terminal) answer() {
	buffer := make([]byte, 256)
	for {
		n, err := t.screen.Read(buffer)
		if err != nil {
			return
		}
		_, _ = t.pty.Write(buffer[:n]) // the program has gone if this fails
	}
}

// Type types text.
func (t *Terminal) Type(text string) {
	t.t.Helper()
	if _, err := t.pty.WriteString(text); err != nil {
		t.t.Fatal(err)
	}
}

// Resize gives the terminal another size, and has programs know.
func (t *Terminal) Resize(columns, rows int) {
	t.t.Helper()
	t.mu.Lock()
	t.screen.Resize(columns, rows)
	t.mu.Unlock()
	if err := pty.Setsize(t.pty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		t.t.Fatal(err)
	}
}

// Text is what stands on the terminal.
func (t *Terminal) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String()
}

// Raw is all that was written to it.
func (t *Terminal) Raw() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.raw.String()
}

// Apart reports whether programs draw on a screen of their own.
func (t *Terminal) Apart() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.IsAltScreen()
}

// Await waits until the terminal shows something, and returns all that it shows.
func (t *Terminal) Await(what string) string {
	t.t.Helper()
	return t.Until("shows "+what, func(text string) bool { return strings.Contains(text, what) })
}

// Until waits until what the terminal shows is as is says, and returns it.
func (t *Terminal) Until(what string, is func(text string) bool) string {
	t.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if text := t.Text(); is(text) {
			return text
		}
		select {
		case <-t.more:
		case <-limit.C:
			t.t.Fatalf("it is not so that the terminal %s:\n%s\n%q", what, t.Text(), t.Raw())
		}
	}
}
