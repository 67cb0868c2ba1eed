package screen

import (
	"io"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"fairlead.dev/fairlead/internal/cli/output"
)

// Board is text on a terminal whose keys are somebody else's. It is drawn on a screen of its own; Close brings back what was there before.
type Board struct {
	program *tea.Program
	ended   chan struct{}
}

// NewBoard returns a Board that shows nothing yet.
func NewBoard(out io.Writer) *Board {
	b := &Board{
		program: tea.NewProgram(board{}, tea.WithInput(nil), tea.WithOutput(out), tea.WithoutSignalHandler()),
		ended:   make(chan struct{}),
	}
	go func() { // ends by Close
		defer close(b.ended)
		_, _ = b.program.Run() // the terminal is gone if this fails
	}()
	return b
}

// Show replaces the text.
func (b *Board) Show(text string) {
	b.program.Send(lines(strings.Split(strings.TrimRight(text, "\n"), "\n")))
}

// Close leaves the terminal as it was.
func (b *Board) Close() {
	b.program.Quit()
	<-b.ended
}

type lines []string

// board is the model of a Board.
type board struct {
	text          lines
	width, height int
}

// Init implements tea.Model.
func (board) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (b board) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		b.width, b.height = m.Width, m.Height
	case lines:
		b.text = m
	}
	return b, nil
}

// View implements tea.Model.
func (b board) View() tea.View {
	var out []string
	for _, l := range b.text[:min(len(b.text), b.height)] {
		out = append(out, ansi.Truncate(output.Text(l), b.width, "…"))
	}
	return tea.View{AltScreen: true, Content: strings.Join(out, "\n")}
}
