package screen_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"fairlead.dev/fairlead/internal/cli/screen"
	"fairlead.dev/fairlead/internal/cli/screen/screentest"
)

// Lines that are too long go on below their text, what a terminal would act on is shown, and more lines than there is room for scroll.
func TestARecordStandsOnTheTerminal(t *testing.T) {
	terminal := screentest.New(t, 40, 12)
	errWork := errors.New("what it ended with")
	err := screen.Record(t.Context(), terminal.TTY, terminal.TTY, func(_ context.Context, show screen.Show) error {
		for n := range 30 {
			show("goes on", screen.Line{Lead: fmt.Sprintf("%3d  ", n), Text: "short"})
		}
		show("goes on", screen.Line{Text: "title", Mark: screen.Title}, screen.Line{},
			screen.Line{Lead: " +1s  ", Text: "  a sentence that is too long for the terminal", Mark: screen.Bad}, screen.Line{Lead: " +2s  ", Text: "\x1b[2J", Mark: screen.Good})
		return errWork
	})
	if !errors.Is(err, errWork) {
		t.Errorf("ended with %v", err)
	}
	want := ` 27  short
 28  short
 29  short
title

 +1s    a sentence that is too long for
        the terminal
 +2s  \x1b[2J`
	text := terminal.Until("has all", func(text string, _ bool) bool { return strings.Contains(text, "+2s") })
	var lines []string
	for _, l := range strings.Split(ansi.Strip(text), "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	if got := strings.Join(lines, "\n"); !strings.Contains(got, want) || strings.Contains(got, "quit") {
		t.Errorf("it shows\n%s\nwant\n%s", got, want)
	}
	if raw := terminal.Raw(); !strings.Contains(raw, "\x1b[31ma sentence") || strings.Contains(raw, "\x1b[2J") {
		t.Errorf("written is %q", raw)
	}
}

// Where there is hardly any room the text is what counts.
func TestARecordOnANarrowTerminal(t *testing.T) {
	terminal := screentest.New(t, 16, 12)
	err := screen.Record(t.Context(), terminal.TTY, terminal.TTY, func(_ context.Context, show screen.Show) error {
		show("", screen.Line{Lead: "     +1s  ", Text: "some words that go on"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	text := terminal.Until("has all", func(text string, _ bool) bool { return strings.Contains(text, "go on") })
	if lines := strings.Fields(text); !slices.Equal(lines[:6], []string{"+1s", "some", "words", "that", "go", "on"}) {
		t.Errorf("it shows\n%s", text)
	}
}

// The end of the context ends a record, and what it records.
func TestARecordEndsWithItsContext(t *testing.T) {
	terminal := screentest.New(t, 40, 12)
	ctx, stop := context.WithCancel(t.Context())
	err := screen.Record(ctx, terminal.TTY, terminal.TTY, func(ctx context.Context, show screen.Show) error {
		show("goes on")
		stop()
		<-ctx.Done()
		show("too late", screen.Line{Text: "nobody takes this"})
		return ctx.Err()
	})
	if err != nil {
		t.Error(err)
	}
}

// Work that shows nothing leaves nothing behind.
func TestARecordOfNothing(t *testing.T) {
	terminal := screentest.New(t, 40, 12)
	errWork := errors.New("refused")
	if err := screen.Record(t.Context(), terminal.TTY, terminal.TTY, func(context.Context, screen.Show) error { return errWork }); !errors.Is(err, errWork) {
		t.Errorf("ended with %v", err)
	}
	if terminal.Raw() != "" {
		t.Errorf("drawn is %q", terminal.Raw())
	}
}
