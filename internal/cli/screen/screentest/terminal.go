// Package screentest is a terminal for tests: a pseudo-terminal, and an emulator that says what stands on it.
package screentest

import (
	"fmt"
	"os"
	"slices"
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

// Await waits until the terminal shows something, and returns all that it shows.
func (t *Terminal) Await(what ...string) string {
	t.t.Helper()
	return t.Until(fmt.Sprintf("shows %q", what), func(text string, _ bool) bool { return has(text, what) })
}

// AwaitView waits until a screen of the program's own shows something, and returns all that it shows.
func (t *Terminal) AwaitView(what ...string) string {
	t.t.Helper()
	return t.Until(fmt.Sprintf("shows %q in a view", what), func(text string, apart bool) bool { return apart && has(text, what) })
}

// AwaitEnd waits until programs have left the screen of their own and what is left behind shows something, and returns all that it shows.
func (t *Terminal) AwaitEnd(what ...string) string {
	t.t.Helper()
	return t.Until(fmt.Sprintf("shows %q after its end", what), func(text string, apart bool) bool { return !apart && has(text, what) })
}

// has reports whether a text has all of something.
func has(text string, what []string) bool {
	return !slices.ContainsFunc(what, func(w string) bool { return !strings.Contains(text, w) })
}

// Until waits until what the terminal shows is as is says, and returns it. It hands is what stands on the terminal, and whether that is a screen of the
// program's own, at one moment.
func (t *Terminal) Until(what string, is func(text string, apart bool) bool) string {
	t.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if text, apart := t.shown(); is(text, apart) {
			return text
		}
		select {
		case <-t.more:
		case <-limit.C:
			t.t.Fatalf("it is not so that the terminal %s:\n%s\n%q", what, t.Text(), t.Raw())
		}
	}
}

// shown is what stands on the terminal, and whether that is a screen of the program's own.
func (t *Terminal) shown() (text string, apart bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String(), t.screen.IsAltScreen()
}
